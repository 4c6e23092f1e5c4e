-- One row for each user whose budget ever had an event; integer micro-USD. Without a row a user has the default.
-- `used` and `held` are of the month that `period_key` names; where none runs, because nothing was used since the last
-- one ended, `period_start` is null and the key is `idle_key`, which is empty.
create table budgets (
    org text collate "C" not null,
    user_id text collate "C" not null,
    monthly bigint not null,
    ceiling bigint,
    used bigint not null,
    held bigint not null,
    period_key text collate "C" not null,
    idle_key text collate "C" not null,
    period_start timestamptz,
    period_end timestamptz,
    version bigint not null,
    position bigint not null,
    updated_at timestamptz not null
) with (fillfactor = 70);
-- keys
alter table budgets add primary key (org, user_id);
create index on budgets (period_end) where period_end is not null;
