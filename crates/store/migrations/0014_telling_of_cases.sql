-- Whoever runs the shop is told of each case, and once more before its deadline, without having to look.
alter table cases add column told_at bigint;           -- when it was planned whom to tell; null: not yet
alter table cases add column deadline_told_at bigint;  -- the same for its deadline
-- What is open already stands on a page that is known.
update cases set told_at = created_at;
create index cases_to_tell on cases (id) where told_at is null;

create table case_notices (
    id           key_text primary key,
    case_id      key_text not null references cases (id),
    what         key_text not null,  -- case.opened, dispute.deadline
    target       key_text not null,  -- notify, owner
    state        key_text not null references delivery_states (state),
    tries        integer  not null,
    next_try_at  bigint,             -- null: settled
    last_error   text,
    done_at      bigint,
    created_at   bigint   not null
);
create unique index case_notices_once on case_notices (case_id, what, target);
create index case_notices_due on case_notices (next_try_at) where next_try_at is not null;
