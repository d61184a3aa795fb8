-- That a person called a booking off, and why. A paid one stays paid, and holds no seat any more.
alter table bookings add column cancelled_at bigint;
alter table bookings add column cancel_reason text;

-- What a month's bookings and its movements of money are found by.
create index bookings_by_slot on bookings (slot_date, slot_time, id);
create index bookings_by_payment on bookings (paid_at, id) where paid_at is not null;
create index refunds_by_age on refunds (created_at, id);
create index disputes_by_age on disputes (created_at, id);
