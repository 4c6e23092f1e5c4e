-- Who does what only one process at a time may do. A lock of a session would be held for ever by a process that
-- hangs, for its session goes on; a lease ends by itself at `until` unless its holder renews it, and at once when the
-- holder's session ends. `epoch` counts the holders: whoever finds another than its own is the holder no more.
create table leases (
    name text collate "C" primary key,
    epoch bigint not null default 0,
    session integer,
    session_start timestamptz,
    since timestamptz,
    until timestamptz not null default 'epoch'
);
insert into leases (name) values ('notifier'), ('relay');

-- Everybody may see who holds what; each lease is taken and renewed by one login.
alter table leases enable row level security;
alter table leases force row level security;
create policy reads on leases for select using (true);
create policy relays on leases for update to scrip_relay using (name = 'relay') with check (name = 'relay');
create policy notifies on leases for update to scrip_writer using (name = 'notifier') with check (name = 'notifier');
grant select on leases to scrip_relay, scrip_writer, scrip_auditor;
grant update (epoch, session, session_start, since, until) on leases to scrip_relay, scrip_writer;
