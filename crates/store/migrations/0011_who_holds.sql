-- What one stranger holds unpaid is counted: by address, of which only a keyed hash is kept, by browser and by e-mail.
alter table bookings add column client_hash key_text;
create index bookings_held_by_client on bookings (client_hash) where client_hash is not null and status = 'en attente';
create index bookings_held_by_email on bookings (cast(lower(email) as key_text)) where status = 'en attente';
-- What nobody paid is forgotten after a while.
create index bookings_unpaid_by_age on bookings (updated_at) where erased_at is null and paid_session_id is null;
