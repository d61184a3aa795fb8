-- What people call a booking by. Null: of one that was made before; the next start gives it its code.
alter table bookings add column code key_text;
create unique index bookings_by_code on bookings (code);
create index bookings_without_code on bookings (id) where code is null;

-- How long it takes. Null: of one that was made before: as long as its offer.
alter table bookings add column duration_minutes integer;
alter table offers add column duration_minutes integer not null default 60;
-- From one beginning to the next. Null: as long as it takes.
alter table offers add column step_minutes integer;
-- Who or what it needs, in lower case: offers that name the same are never sold for the same time.
alter table offers add column resource key_text;
create index offers_by_resource on offers (resource) where resource is not null;

-- What an ADMIN decides, by name: opening hours, closing days, who the business is.
create table settings (
    name        key_text primary key,
    body        text     not null,
    updated_at  bigint   not null
);
