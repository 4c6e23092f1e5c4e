-- Partitions whose next event does not get into the ledger's topic, with the reason; `position` is that event's. Where
-- the broker `refused` it, no further try helps, only somebody does. The active relay keeps it; a row goes when its
-- partition goes on.
create table relay_stops (
    partition smallint primary key,
    position bigint not null,
    reason text not null,
    refused boolean not null,
    at timestamptz not null default clock_timestamp()
);
grant select, insert, update, delete on relay_stops to scrip_relay;
grant select on relay_stops to scrip_auditor;
