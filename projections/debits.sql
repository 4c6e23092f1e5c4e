-- One row for each charge, whether at once or by a capture; `refunded` is how much of it was given back so far.
create table debits (
    org text collate "C" not null,
    id text collate "C" not null,
    address text collate "C" not null,
    amount bigint not null,
    refunded bigint not null,
    reservation_id text collate "C",
    item text collate "C",
    price_version integer,
    sealed text collate "C",
    created_at timestamptz not null,
    position bigint not null,
    check (refunded between 0 and amount)
) with (fillfactor = 90);
-- keys
alter table debits add primary key (org, id);
create index on debits (org, address, position);
