-- The first schema: what can be booked, who booked it, and everything Stripe said about its money.
--
-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 UTC, amounts are minor units,
-- ids and times come from the program. Enumerations are small tables, because SQLite cannot alter a
-- CHECK list later.

create table instance (
    id          text   primary key,
    created_at  bigint not null
);

create table booking_statuses (status text primary key);
insert into booking_statuses (status) values
    ('en attente'), ('en traitement'), ('payé'), ('expiré'), ('échoué'), ('annulé'),
    ('partiellement remboursé'), ('remboursé'), ('litige');

create table outcomes (outcome text primary key);
insert into outcomes (outcome) values
    ('processed'), ('duplicate'), ('ignored'), ('parked'), ('case'), ('rejected');

create table case_kinds (kind text primary key);
insert into case_kinds (kind) values
    ('amount_mismatch'), ('currency_mismatch'), ('mode_mismatch'), ('session_mismatch'), ('livemode_mismatch'), ('paid_twice'),
    ('late_payment'), ('unknown_booking'), ('refund_failed'), ('dispute'), ('state_mismatch'), ('refund_mismatch');

create table offers (
    id          text    primary key,
    name        text    not null,
    amount      bigint  not null,
    currency    text    not null,
    capacity    integer not null,
    active      boolean not null,
    grid        text    not null,   -- the bookable times of day, separated by blanks; empty: any
    created_at  bigint  not null,
    updated_at  bigint  not null
);

create table bookings (
    id                 text    primary key,
    offer_id           text    not null references offers (id),
    first_name         text    not null,
    last_name          text    not null,
    email              text    not null,
    slot_date          text    not null,
    slot_time          text    not null,
    starts_at          bigint  not null,
    amount             bigint  not null,
    currency           text    not null,
    status             text    not null references booking_statuses (status),
    seat               integer,           -- null: no seat held
    hold_expires_at    bigint  not null,
    stripe_session_id  text    unique,
    session_url        text,              -- while the session is open
    attempt            integer not null,  -- part of Stripe's idempotency key: raised after a definite refusal
    paid_session_id    text,
    payment_intent_id  text,
    paid_amount        bigint,
    paid_at            bigint,
    charge_refunded    bigint  not null,
    has_history        boolean not null,  -- refunds, disputes or cases exist: saves three look-ups when not
    owner_hash         text,              -- of the browser's cookie, by which its customer resumes a hold
    lang               text    not null,
    next_check_at      bigint,            -- when Stripe is asked about it; null: settled
    created_at         bigint  not null,
    updated_at         bigint  not null
);
-- A seat is sold once: the database refuses the second, whoever asks and however close together.
create unique index bookings_seat on bookings (offer_id, slot_date, slot_time, seat) where seat is not null;
create index bookings_by_intent on bookings (payment_intent_id) where payment_intent_id is not null;
create index bookings_by_age on bookings (created_at, id);
create index bookings_by_status on bookings (status, created_at, id);
create index bookings_to_check on bookings (next_check_at) where next_check_at is not null;

-- The ledger: each thing that Stripe told us, once, with what we made of it.
create table payment_events (
    id                 text    primary key,
    event_key          text    not null unique,  -- Stripe's event id, or the key of a polled state
    stripe_event_id    text    check (stripe_event_id = event_key),   -- null for a polled state
    type               text    not null,
    source             text    not null,
    livemode           boolean,
    stripe_session_id  text,
    booking_id         text    references bookings (id),
    applied_payment    boolean not null,
    outcome            text    not null references outcomes (outcome),
    reason             text    not null,
    payload            text,                     -- null: of no business of ours, or erased
    deliveries         integer not null,
    stripe_created_at  bigint,
    received_at        bigint  not null,
    last_delivered_at  bigint  not null,
    processed_at       bigint,
    next_try_at        bigint,                   -- when we try again ourselves; null: settled
    tries              integer not null
);
-- At most one applied payment for a session, whatever the program believes.
create unique index payment_events_one_payment on payment_events (stripe_session_id) where applied_payment;
create index payment_events_by_age on payment_events (received_at, id);
create index payment_events_by_booking on payment_events (booking_id, received_at);
create index payment_events_to_try on payment_events (next_try_at) where next_try_at is not null;
create index payment_events_to_erase on payment_events (received_at) where payload is not null;

create table refunds (
    id                 text   primary key,       -- Stripe's
    booking_id         text   not null references bookings (id),
    payment_intent_id  text,
    amount             bigint not null,
    status             text   not null,
    created_at         bigint not null,
    updated_at         bigint not null
);
create index refunds_by_booking on refunds (booking_id);

create table disputes (
    id                 text   primary key,       -- Stripe's
    booking_id         text   not null references bookings (id),
    payment_intent_id  text,
    amount             bigint not null,
    status             text   not null,
    due_by             bigint,
    created_at         bigint not null,
    updated_at         bigint not null
);
create index disputes_by_booking on disputes (booking_id);

create table cases (
    id                 text   primary key,
    case_key           text   not null unique,   -- what it is about: never opened twice
    kind               text   not null references case_kinds (kind),
    booking_id         text   references bookings (id),
    event_key          text,                     -- the ledger row that opened it
    stripe_session_id  text,
    payment_intent_id  text,
    amount             bigint,
    currency           text,
    detail             text   not null,
    deadline           bigint,
    created_at         bigint not null,
    closed_at          bigint,                   -- null: open
    closed_by          text,
    resolution         text,
    note               text
);
create index cases_open on cases (created_at, id) where closed_at is null;
create index cases_by_booking on cases (booking_id);
create index cases_by_intent on cases (payment_intent_id);

-- What others are told, written with the change it tells of.
create table outbox (
    id            text    primary key,
    effect_key    text    not null unique,
    kind          text    not null,
    booking_id    text    not null references bookings (id),
    created_at    bigint  not null
);
create index outbox_by_booking on outbox (booking_id);

create table idempotency_keys (
    scope         text    not null,
    key           text    not null,
    request_hash  text    not null,
    booking_id    text,
    response      text,                          -- null: in flight, or resumable after a crash
    locked_until  bigint  not null,
    created_at    bigint  not null,
    primary key (scope, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

create table audit_log (
    id          text   primary key,
    at          bigint not null,
    actor       text   not null,                 -- a user's e-mail, or cli, or system
    action      text   not null,
    subject     text   not null,
    detail      text   not null,
    request_id  text
);
create index audit_log_by_age on audit_log (at, id);
