-- Who can sign in, who is signed in, and who tried too often.

create table roles (role key_text primary key);
insert into roles (role) values ('READONLY'), ('OPS'), ('ADMIN');

create table users (
    id             key_text primary key,
    email          key_text not null unique,  -- in lower case
    password_hash  text     not null,         -- bcrypt
    role           key_text not null references roles (role),
    active         boolean  not null,
    created_at     bigint   not null,
    updated_at     bigint   not null
);

create table sessions (
    id_hash       key_text primary key,  -- SHA-256: whoever reads this table cannot sign in with it
    user_id       key_text not null references users (id),
    created_at    bigint   not null,
    last_seen_at  bigint   not null,
    expires_at    bigint   not null
);
create index sessions_by_user on sessions (user_id);
create index sessions_by_end on sessions (expires_at);

-- Failed sign-ins, by what they are counted against. Keys are keyed hashes: no address stands here.
create table login_limits (
    key            key_text primary key,
    failures       integer  not null,
    window_ends    bigint   not null,  -- the count starts anew after this
    blocked_until  bigint   not null
);
create index login_limits_by_end on login_limits (window_ends);

-- From where an account was signed in to: strangers' failures do not lock such places out.
create table login_places (
    user_id    key_text not null references users (id),
    place      key_text not null,  -- keyed hash of the client's address
    last_used  bigint   not null,
    primary key (user_id, place)
);
