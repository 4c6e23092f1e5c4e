-- One row for each organisation, from its first event on. Settings are the defaults until they are configured:
-- `enforce` and `pay_from` are lists, `settlement_policy` percent by outcome, `alert_rules` thresholds by rule where
-- they differ from the defaults. `tokens`: allowance per token type and cycle; `storage_limit`: bytes for each user.
-- `version`, `position`, `updated_at`: the last event about the organisation itself (0 where there was none).
create table organisations (
    org text collate "C" not null,
    time_zone text not null,
    enforce jsonb not null,
    pay_from jsonb not null,
    over_actual text collate "C" not null,
    settlement_policy jsonb not null,
    alert_rules jsonb not null,
    plan text collate "C" not null,
    plan_version integer not null,
    tokens jsonb not null,
    credits bigint not null,
    storage_limit bigint,
    anchor timestamptz,
    billing text collate "C" not null,
    paid_until timestamptz,
    created_at timestamptz not null,
    version bigint not null,
    position bigint not null,
    updated_at timestamptz not null
) with (fillfactor = 80);
-- keys
alter table organisations add primary key (org);
create index on organisations (paid_until) where paid_until is not null;
