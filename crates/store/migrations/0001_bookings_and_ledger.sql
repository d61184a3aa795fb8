-- The first schema: what can be booked, who booked it, and everything Stripe said about its money.
--
-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 UTC, amounts are minor units,
-- ids and times come from the program; our own ids sort by age. Enumerations are small tables, because
-- SQLite cannot alter a CHECK list later.
--
-- A text is for people, a key_text is looked up: compared byte by byte, as SQLite compares any text. On
-- PostgreSQL the rules of a language would cost several times as much at each step through an index, and
-- other rules, brought by an upgrade of the operating system, would break it. Comments nest in PostgreSQL
-- and not in SQLite, so only the former reads on behind the next line's:
/* /* */ -- */ create domain key_text as text collate "C";

create table instance (
    id          key_text primary key,
    created_at  bigint   not null
);

create table booking_statuses (status key_text primary key);
insert into booking_statuses (status) values
    ('en attente'), ('en traitement'), ('payé'), ('expiré'), ('échoué'), ('annulé'),
    ('partiellement remboursé'), ('remboursé'), ('litige');

create table outcomes (outcome key_text primary key);
insert into outcomes (outcome) values
    ('processed'), ('duplicate'), ('ignored'), ('parked'), ('case'), ('rejected');

create table case_kinds (kind key_text primary key);
insert into case_kinds (kind) values
    ('amount_mismatch'), ('currency_mismatch'), ('mode_mismatch'), ('session_mismatch'), ('livemode_mismatch'), ('paid_twice'),
    ('late_payment'), ('unknown_booking'), ('refund_failed'), ('dispute'), ('state_mismatch'), ('refund_mismatch');

create table offers (
    id          key_text primary key,
    name        text     not null,
    amount      bigint   not null,
    currency    text     not null,
    capacity    integer  not null,
    active      boolean  not null,
    grid        text     not null,  -- the bookable times of day, separated by blanks; empty: any
    created_at  bigint   not null,
    updated_at  bigint   not null
);

create table bookings (
    id                 key_text primary key,
    offer_id           key_text not null references offers (id),
    first_name         text     not null,
    last_name          text     not null,
    email              text     not null,
    slot_date          key_text not null,
    slot_time          key_text not null,
    starts_at          bigint   not null,
    amount             bigint   not null,
    currency           text     not null,
    status             key_text not null references booking_statuses (status),
    seat               integer,            -- null: no seat held
    hold_expires_at    bigint   not null,
    stripe_session_id  key_text unique,
    session_url        text,               -- while the session is open
    attempt            integer  not null,  -- part of Stripe's idempotency key: raised after a definite refusal
    paid_session_id    key_text,
    payment_intent_id  key_text,
    paid_amount        bigint,
    paid_at            bigint,
    charge_refunded    bigint   not null,
    has_history        boolean  not null,  -- refunds, disputes or cases exist: saves three look-ups when not
    owner_hash         key_text,           -- of the browser's cookie, by which its customer resumes a hold
    lang               text     not null,
    next_check_at      bigint,             -- when Stripe is asked about it; null: settled
    created_at         bigint   not null,
    updated_at         bigint   not null
);
-- A seat is sold once: the database refuses the second, whoever asks and however close together.
create unique index bookings_seat on bookings (offer_id, slot_date, slot_time, seat) where seat is not null;
create index bookings_by_intent on bookings (payment_intent_id) where payment_intent_id is not null;
create index bookings_by_status on bookings (status, id);
create index bookings_to_check on bookings (next_check_at) where next_check_at is not null;

-- The ledger: each thing that Stripe told us, once, with what we made of it.
create table payment_events (
    id                 key_text primary key,
    event_key          key_text not null unique,                      -- Stripe's event id, or the key of a polled state
    stripe_event_id    key_text check (stripe_event_id = event_key),  -- null for a polled state
    type               text     not null,
    source             text     not null,
    livemode           boolean,
    stripe_session_id  key_text,
    booking_id         key_text references bookings (id),
    applied_payment    boolean  not null,
    outcome            key_text not null references outcomes (outcome),
    reason             text     not null,
    payload            text,                                          -- null: of no business of ours, or erased
    deliveries         integer  not null,
    stripe_created_at  bigint,
    received_at        bigint   not null,
    last_delivered_at  bigint   not null,
    processed_at       bigint,
    next_try_at        bigint,                                        -- when we try again ourselves; null: settled
    tries              integer  not null
);
-- At most one applied payment for a session, whatever the program believes.
create unique index payment_events_one_payment on payment_events (stripe_session_id) where applied_payment;
create index payment_events_by_booking on payment_events (booking_id, received_at);
create index payment_events_to_try on payment_events (next_try_at) where next_try_at is not null;
create index payment_events_to_erase on payment_events (received_at) where payload is not null;

create table refunds (
    id                 key_text primary key,  -- Stripe's
    booking_id         key_text not null references bookings (id),
    payment_intent_id  key_text,
    amount             bigint   not null,
    status             key_text not null,
    created_at         bigint   not null,
    updated_at         bigint   not null
);
create index refunds_by_booking on refunds (booking_id);

create table disputes (
    id                 key_text primary key,  -- Stripe's
    booking_id         key_text not null references bookings (id),
    payment_intent_id  key_text,
    amount             bigint   not null,
    status             key_text not null,
    due_by             bigint,
    created_at         bigint   not null,
    updated_at         bigint   not null
);
create index disputes_by_booking on disputes (booking_id);

create table cases (
    id                 key_text primary key,
    case_key           key_text not null unique,  -- what it is about: never opened twice
    kind               key_text not null references case_kinds (kind),
    booking_id         key_text references bookings (id),
    event_key          key_text,                  -- the ledger row that opened it
    stripe_session_id  key_text,
    payment_intent_id  key_text,
    amount             bigint,
    currency           text,
    detail             text     not null,
    deadline           bigint,
    created_at         bigint   not null,
    closed_at          bigint,                    -- null: open
    closed_by          text,
    resolution         text,
    note               text
);
create index cases_open on cases (id) where closed_at is null;
create index cases_by_booking on cases (booking_id);
create index cases_by_intent on cases (payment_intent_id);

-- What others are told, written with the change it tells of.
create table outbox (
    id            key_text primary key,
    effect_key    key_text not null unique,
    kind          key_text not null,
    booking_id    key_text not null references bookings (id),
    created_at    bigint   not null
);
create index outbox_by_booking on outbox (booking_id);

create table idempotency_keys (
    scope         key_text not null,
    key           key_text not null,
    request_hash  text     not null,
    booking_id    key_text,
    response      text,  -- null: in flight, or resumable after a crash
    locked_until  bigint   not null,
    created_at    bigint   not null,
    primary key (scope, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

create table audit_log (
    id          key_text primary key,
    at          bigint   not null,
    actor       text     not null,  -- a user's e-mail, or cli, or system
    action      text     not null,
    subject     key_text not null,
    detail      text     not null,
    request_id  key_text
);
