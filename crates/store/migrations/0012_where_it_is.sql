-- What a database remembers of where it is and how it got there, each under a name: that it was restored from a
-- backup, which address it serves at, which time zone its slots were reckoned in.
create table marks (
    name   key_text primary key,
    value  text     not null,
    at     bigint   not null  -- when it was last set
);
