-- Every movement of an account's available credits: the sum of `amount` up to a row is its `balance_after`.
-- `n` numbers the movements of one event. Types: granted, grant_expired, grant_voided, reserved, returned (of a hold
-- that is captured: what had been held of it), captured, released, expired, debited, refunded, transferred_in,
-- transferred_out, shortfall_collected. `generation_id` where it is about a generation. `counterparty` is the other
-- account of a transfer; `sealed` is the encrypted personal text.
create table transactions (
    org text collate "C" not null,
    address text collate "C" not null,
    position bigint not null,
    n smallint not null,
    type text collate "C" not null,
    amount bigint not null,
    balance_after bigint not null,
    grant_id text collate "C",
    reservation_id text collate "C",
    debit_id text collate "C",
    refund_id text collate "C",
    transfer_id text collate "C",
    counterparty text collate "C",
    generation_id text collate "C",
    item text collate "C",
    actor text collate "C" not null,
    sealed text collate "C",
    created_at timestamptz not null
);
-- keys
alter table transactions add primary key (org, address, position, n);
