-- When each webhook secret last fitted, by its fingerprint: tells when an old one may go.
create table secret_uses (
    fingerprint   key_text primary key,
    last_used_at  bigint   not null
);
