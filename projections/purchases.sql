-- One row for each purchase. `status`: pending, completed or failed (`reason`). `price` in micro-units of `currency`.
-- What was bought is `package`, as it was offered (an object), for the account `address`, or a `plan` with its `billing`.
create table purchases (
    org text collate "C" not null,
    id text collate "C" not null,
    user_id text collate "C" not null,
    provider text collate "C" not null,
    status text collate "C" not null,
    price bigint not null,
    currency text collate "C" not null,
    package jsonb,
    address text collate "C",
    plan text collate "C",
    plan_version integer,
    billing text collate "C" not null,
    payment_ref text collate "C",
    reason text,
    created_at timestamptz not null,
    created_position bigint not null,
    ended_at timestamptz,
    position bigint not null
) with (fillfactor = 80);
-- keys
alter table purchases add primary key (org, id);
create index on purchases (org, user_id, created_position desc);
