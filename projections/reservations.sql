-- One row for each hold on each account: a generation holds under its own id on every account that pays for it.
-- `amount` is all that was ever held, and amount = captured + returned + "left". `generation`: it ends with one.
-- `operation`, `provider` and `model`: what was priced, of a hold that is of no generation.
-- `status`: held, captured, released or expired; `position`: the reservation's last event.
create table reservations (
    org text collate "C" not null,
    id text collate "C" not null,
    address text collate "C" not null,
    status text collate "C" not null,
    amount bigint not null,
    captured bigint not null,
    returned bigint not null,
    "left" bigint not null,
    expires_at timestamptz not null,
    item text collate "C",
    price_version integer,
    generation boolean not null,
    sealed text collate "C",
    created_at timestamptz not null,
    created_position bigint not null,
    ended_at timestamptz,
    position bigint not null,
    operation text collate "C",
    provider text collate "C",
    model text collate "C",
    check (amount = captured + returned + "left")
) with (fillfactor = 80);
-- keys
alter table reservations add primary key (org, id, address);
create index on reservations (org, address, created_position);
create index on reservations (expires_at) where status = 'held';
