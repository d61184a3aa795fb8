-- What an ADMIN gives to be shown as it is, by name: the logo of the business. Apart from the settings, so that what is
-- asked for with every page carries no bytes of it. In base64: both engines keep a text alike.
create table files (
    name        key_text primary key,
    about       text     not null,
    body        text     not null,
    updated_at  bigint   not null
);
