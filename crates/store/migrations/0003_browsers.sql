-- The storefront asks at each visit what this browser holds.
create index bookings_by_owner on bookings (owner_hash, created_at) where owner_hash is not null;
