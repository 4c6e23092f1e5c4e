-- What keeps tables from growing with what costs its sender nothing (docs/limits.md).

-- How many tickets a login has that are not used yet.
create index stream_tickets_login on stream_tickets (org, actor);

-- A user who is refused again and again has a row for some of it: `left_out` counts what has none.
alter table refused_checks add column left_out bigint not null default 0;

-- Events in quarantine that can never be applied as they are, which anybody who reaches the broker can send for ever.
create index quarantine_unfit on quarantine (org) where resolved_at is null and fingerprint is null;
-- What was applied after all is kept for a time, and so is what was delivered: then the sweeper and the notifier clean up.
create index quarantine_resolved on quarantine (resolved_at) where resolved_at is not null;
create index deliveries_ended on deliveries (at) where status <> 'pending';
create index deliveries_resent on deliveries (webhook_id) where status = 'pending' and resend_of is not null;
grant delete on quarantine, audits to scrip_writer;
