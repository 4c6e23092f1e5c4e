-- What the intake and the sweeper need beyond the log.

-- The content that is waiting under its id, how often it was tried, and whether `scrip.quarantine` has its record.
alter table quarantine
    add column fingerprint bytea,
    add column attempts integer not null default 1,
    add column tried_at timestamptz not null default scrip_now(),
    add column published_at timestamptz;
create index quarantine_source on quarantine (org, source) where resolved_at is null;

-- Operators and `scrip import` see what waits and why; the sealed bodies stay with the writer.
grant select (id, org, source, event_id, reason, detail, attempts, at, tried_at, resolved_at) on quarantine to scrip_reader;
