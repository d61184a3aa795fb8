-- A session that Stripe does not know is a person's to look into.
insert into case_kinds (kind) values ('session_unknown');

-- What the running service noticed, for `doctor`, which is another process.
create table observations (
    name  key_text primary key,
    at    bigint   not null,  -- when it was last noticed
    value bigint   not null
);
