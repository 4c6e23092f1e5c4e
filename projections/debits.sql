-- One row for each charge, whether at once or by a capture; `refunded` is how much of it was given back so far.
-- `user_id`: whose use it is, where one user's. `operation`, `provider` and `model`: what it was for, as in `usage`;
-- null where it belongs to a generation, whose debits have its id, a dot and a number.
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
    user_id text collate "C",
    operation text collate "C",
    provider text collate "C",
    model text collate "C",
    check (refunded between 0 and amount)
) with (fillfactor = 90);
-- keys
alter table debits add primary key (org, id);
create index on debits (org, address, position);
