-- Sessions of people at the console. The browser holds a random id; only its hash is kept here. `credentials` (the
-- tokens of the sign-in) and `kept` (what the pages remember) are encrypted with SCRIP_SESSION_SECRET, which is not in
-- the database. `version` counts the credentials: of several requests one may replace a version (`refreshing_until`).
-- `ends_at` moves on with use, up to `last_at`. A row outlives its session by a day, so that the person reads why.
create table console_sessions (
    hash bytea primary key check (length(hash) = 32),
    org text collate "C" not null,
    sub text collate "C" not null,
    credentials bytea,
    kept bytea,
    version integer not null default 1,
    token_ends_at timestamptz not null,
    refresh_at timestamptz,
    refreshing_until timestamptz,
    ends_at timestamptz not null,
    last_at timestamptz not null,
    ended text collate "C"
);
create index console_sessions_end on console_sessions (ends_at);
create index console_sessions_subject on console_sessions (org, sub, ends_at);
select protect_rows('console_sessions');
grant select, insert, update, delete on console_sessions to scrip_writer;
