-- What became of generations, by UTC day: the base of analytics. A generation counts on the day on which it ended
-- (`outcome` completed, failed, cancelled, expired or settled_late) or was refused (outcome refused); `reason` is why it
-- was refused or how it failed. One that expired and was completed late is taken off the expired ones on that day.
-- What a row does not have is an empty text; `key` is a digest of all that tells rows of a day apart. Credits, tokens
-- and plan tokens are whole, `usd` and `provider_cost` micro-units (the latter in `currency`), `time_ms` milliseconds.
-- Refunds lower the sums on their own day.
create table usage_daily (
    org text collate "C" not null,
    day date not null,
    key text collate "C" not null,
    user_id text collate "C" not null,
    operation text collate "C" not null,
    provider text collate "C" not null,
    model text collate "C" not null,
    size text collate "C" not null,
    quality text collate "C" not null,
    feature text collate "C" not null,
    outcome text collate "C" not null,
    reason text collate "C" not null,
    currency text collate "C" not null,
    generations bigint not null,
    succeeded bigint not null,
    credits bigint not null,
    tokens bigint not null,
    plan_tokens bigint not null,
    usd bigint not null,
    provider_cost bigint not null,
    time_ms bigint not null
) with (fillfactor = 70);
-- keys
alter table usage_daily add primary key (org, day, key);
