-- One row for each group. `limits`, `used` and `held` are objects by what is counted (image, video, tokens.{type}); what
-- `limits` does not name is unlimited. `every`: total, day, week or month. `used` and `held` are of the period that
-- `period_key` names. Where none runs (`period_start` is null: there are none, or nothing was used since the last one
-- ended) it is `idle_key`, which is empty, and another after each change of `every`.
-- A group that was deleted keeps its row, with `deleted_at`.
create table groups (
    org text collate "C" not null,
    id text collate "C" not null,
    name text not null,
    description text not null,
    limits jsonb not null,
    every text collate "C" not null,
    member_count bigint not null,
    used jsonb not null,
    held jsonb not null,
    period_key text collate "C" not null,
    idle_key text collate "C" not null,
    period_start timestamptz,
    period_end timestamptz,
    created_at timestamptz not null,
    deleted_at timestamptz,
    version bigint not null,
    position bigint not null,
    updated_at timestamptz not null
) with (fillfactor = 70);
-- keys
alter table groups add primary key (org, id);
create index on groups (period_end) where period_end is not null;
