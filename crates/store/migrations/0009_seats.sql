-- Raised with each change of the capacity. A seat keeps the number that was current when it was taken: so a slot
-- that was sold beyond its capacity is told from one whose capacity was lowered afterwards, by no clock.
alter table offers add column capacity_version integer not null default 0;
alter table bookings add column seat_version integer;

-- Sessions that Stripe made for bookings which no longer waited for them: nobody was shown one, and each is to be
-- closed at Stripe.
create table sessions_to_close (
    session_id   key_text primary key,
    booking_id   key_text not null references bookings (id),
    next_try_at  bigint   not null,
    created_at   bigint   not null
);
create index sessions_to_close_due on sessions_to_close (next_try_at);

-- What was given up, for doctor to count.
create index outbox_deliveries_dead on outbox_deliveries (id) where state = 'dead';

-- The clocks of two instances are never the same: what one received was delivered again to the other a little before.
update payment_events set last_delivered_at = received_at where last_delivered_at < received_at;
update bookings set updated_at = created_at where updated_at < created_at;
