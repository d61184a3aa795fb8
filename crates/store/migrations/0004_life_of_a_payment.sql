-- What follows a payment: asking Stripe by ourselves, giving money back, telling others, forgetting.

-- Where each reading of Stripe's lists stands. One row for each list.
create table feed_cursor (
    name        key_text primary key,
    read_until  bigint   not null,  -- by Stripe's `created`
    next_run_at bigint   not null   -- a lease: several instances share the reading
);

-- A refund that we ask for: written before Stripe is called, so that no crash can lose or double it.
create table refund_states (state key_text primary key);
insert into refund_states (state) values ('open'), ('done'), ('refused');

create table refund_intents (
    id                 key_text primary key,  -- Stripe's metadata[refund_intent]
    scope              key_text not null,     -- booking:ID or case:ID
    client_key         key_text not null,     -- the caller's Idempotency-Key
    booking_id         key_text references bookings (id),
    case_id            key_text references cases (id),
    payment_intent_id  key_text not null,
    requested_amount   bigint,                -- null: all that is left
    amount             bigint   not null,
    currency           text     not null,
    state              key_text not null references refund_states (state),
    attempt            integer  not null,     -- part of Stripe's idempotency key
    tries              integer  not null,
    next_try_at        bigint,                -- null: settled
    stripe_refund_id   key_text,
    refusal            text,
    requested_by       text     not null,
    created_at         bigint   not null,
    updated_at         bigint   not null
);
create unique index refund_intents_key on refund_intents (scope, client_key);
create index refund_intents_due on refund_intents (next_try_at) where next_try_at is not null;
create index refund_intents_by_payment on refund_intents (payment_intent_id);
create index refund_intents_by_booking on refund_intents (booking_id);

-- Each thing that others are told, once for each of them.
create table delivery_states (state key_text primary key);
insert into delivery_states (state) values ('pending'), ('done'), ('dead');

alter table outbox add column fanned_out_at bigint;   -- null: nobody was chosen yet
create index outbox_to_fan_out on outbox (created_at) where fanned_out_at is null;

create table outbox_deliveries (
    id           key_text primary key,
    outbox_id    key_text not null references outbox (id),
    target       key_text not null,  -- notify, customer, owner
    state        key_text not null references delivery_states (state),
    tries        integer  not null,
    next_try_at  bigint,             -- null: settled
    last_error   text,
    done_at      bigint,
    created_at   bigint   not null
);
create unique index outbox_deliveries_once on outbox_deliveries (outbox_id, target);
create index outbox_deliveries_due on outbox_deliveries (next_try_at) where next_try_at is not null;

alter table bookings add column asked_at bigint;      -- when a visitor last made us ask Stripe
alter table bookings add column erased_at bigint;     -- when its person was forgotten
create index bookings_erased on bookings (id) where erased_at is not null;
create index audit_log_by_subject on audit_log (subject, at);
