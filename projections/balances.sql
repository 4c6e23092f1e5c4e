-- One row for each account that ever had an event. `version` and `position`: the account's last event.
-- `shortfall`: work done that could not be paid for and is still owed. `allowance`: what a plan grants in every 30-day
-- cycle (0: none), `allowance_granted` what it has granted in the cycle `allowance_cycle` (0 for the first), which ends
-- at `refresh_at`; both are null for an account that never had one.
create table balances (
    org text collate "C" not null,
    address text collate "C" not null,
    owner_type text collate "C" not null,
    owner_id text collate "C" not null,
    unit text collate "C" not null,
    granted bigint not null,
    debited bigint not null,
    refunded bigint not null,
    expired bigint not null,
    voided bigint not null,
    transferred_in bigint not null,
    transferred_out bigint not null,
    reserved bigint not null,
    available bigint not null,
    frozen boolean not null,
    closed boolean not null,
    credit_limit bigint not null,
    shortfall bigint not null,
    allowance bigint not null,
    allowance_granted bigint not null,
    allowance_cycle integer,
    refresh_at timestamptz,
    version bigint not null,
    position bigint not null,
    updated_at timestamptz not null,
    check (available + reserved + debited - refunded + expired + voided + transferred_out = granted + transferred_in)
) with (fillfactor = 70);
-- keys
alter table balances add primary key (org, address);
create index on balances (refresh_at) where allowance > 0;
