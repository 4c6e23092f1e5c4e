-- One row for each grant on each account that has or had some of it (a transfer takes slices along under their id).
-- amount = remaining + reserved + spent + expired + voided + transferred_out, except for a grant that never took
-- effect, which has nothing but its amount. `status`: scheduled, live, spent, expired or voided.
-- `expires_at` is that of the slice that came in last: what is refunded after its end is usable for longer.
create table grants (
    org text collate "C" not null,
    address text collate "C" not null,
    id text collate "C" not null,
    source text collate "C" not null,
    priority integer not null,
    status text collate "C" not null,
    amount bigint not null,
    remaining bigint not null,
    reserved bigint not null,
    spent bigint not null,
    expired bigint not null,
    voided bigint not null,
    transferred_out bigint not null,
    granted_at timestamptz not null,
    effective_at timestamptz not null,
    expires_at timestamptz,
    external_ref text collate "C",
    paid_amount bigint,
    paid_currency text collate "C",
    sealed text collate "C",
    position bigint not null
) with (fillfactor = 70);
-- keys
alter table grants add primary key (org, address, id);
create index on grants (expires_at) where status = 'live';
create index on grants (effective_at) where status = 'scheduled';
