-- The usage log of an organisation's plan tokens, append only: one row for each charge on an account
-- `org:{org}:tokens.{type}`, and for each refund of one (`tokens` is then negative). `remaining` is the account's balance
-- after it. `feature` is that of the deduction or generation; `sealed` is its encrypted metadata. `total` is all that was
-- used of the account until then, refunds taken off, so that what was used in a time is the difference of two rows.
create table token_usage (
    org text collate "C" not null,
    position bigint not null,
    at timestamptz not null,
    address text collate "C" not null,
    token_type text collate "C" not null,
    user_id text collate "C",
    feature text collate "C",
    tokens bigint not null,
    remaining bigint not null,
    total bigint not null,
    debit_id text collate "C" not null,
    generation_id text collate "C",
    actor text collate "C" not null,
    sealed text collate "C"
);
-- keys
alter table token_usage add primary key (org, position);
create index on token_usage (org, token_type, position desc);
create index on token_usage (org, user_id, position desc);
create index on token_usage (org, at);
create index on token_usage (org, token_type, at desc, position desc);
