-- The event log and what belongs to it. Text keys are COLLATE "C": their order must never depend on the
-- operating system's locale data (an upgrade of it corrupts indexes).

-- One row: what the log is and into how many partitions it is divided, fixed when it is created.
create table log (
    id uuid not null default gen_random_uuid(),
    partitions smallint not null check (partitions between 1 and 512),
    created_at timestamptz not null default clock_timestamp(),
    only_row boolean primary key default true check (only_row)
);

create table events (
    partition smallint not null,
    position bigint not null check (position > 0),
    org text collate "C" not null,
    stream text collate "C" not null,
    version bigint not null,
    type text collate "C" not null,
    tag text collate "C",
    actor text collate "C" not null,
    time timestamptz not null,
    data bytea not null,
    hash bytea not null check (length(hash) = 32),
    primary key (partition, position)
);
create unique index events_stream on events (org, stream, version);
create index events_tag on events (org, tag) where tag is not null;
alter table events set (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1);

-- The idempotency rows: what every command came to. `events` of them end at `position`;
-- a refusal has none, or facts about the attempt itself, as a refused generation has in its own stream.
create table commands (
    org text collate "C" not null,
    caller text collate "C" not null,
    key text collate "C" not null,
    fingerprint bytea,
    partition smallint not null,
    position bigint not null,
    events integer not null check (events >= 0),
    refusal bytea,
    primary key (org, caller, key)
);

-- The newest snapshot of each long stream: a cache that may be emptied at any time.
create table snapshots (
    org text collate "C" not null,
    stream text collate "C" not null,
    version bigint not null,
    schema smallint not null,
    state bytea not null,
    primary key (org, stream)
);

-- Keys that protect personal text. Deleting a row erases what it protects; hashes and sums stay valid.
create table subject_keys (
    org text collate "C" not null,
    subject text collate "C" not null,
    key_id text collate "C" not null,
    key bytea not null check (length(key) = 32),
    created_at timestamptz not null default clock_timestamp(),
    primary key (org, subject)
);

create table api_keys (
    id text collate "C" primary key,
    org text collate "C" not null,
    name text not null,
    role text collate "C" not null,
    hash bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_org on api_keys (org);

-- What could not be applied, with the reason. `body` is sealed with the organisation's key.
create table quarantine (
    id text collate "C" primary key,
    org text collate "C" not null,
    source text collate "C" not null,
    event_id text collate "C" not null,
    reason text collate "C" not null,
    detail text not null,
    body text not null,
    at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz
);
create index quarantine_open on quarantine (org, at) where resolved_at is null;

-- The one clock that decisions read. Test databases replace it by one that adds an offset.
create function scrip_now() returns timestamptz language sql volatile as 'select clock_timestamp()';

-- History is append-only for everybody, whatever their rights.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'events are immutable: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger events_immutable before update or delete on events for each statement execute function refuse_change();
create trigger events_not_truncated before truncate on events for each statement execute function refuse_change();
