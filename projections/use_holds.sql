-- What open generations hold of storage, groups and budgets: one row for each generation and stream (`storage/{user}`,
-- `group/{id}`, `budget/{user}`), gone when it ends. `amounts` is by what is counted (bytes, image, video, tokens.…,
-- usd in micro-USD); `period` is the key of the period that it counts in, empty where there are none.
create table use_holds (
    org text collate "C" not null,
    stream text collate "C" not null,
    generation_id text collate "C" not null,
    amounts jsonb not null,
    period text collate "C" not null,
    expires_at timestamptz not null,
    position bigint not null
) with (fillfactor = 70);
-- keys
alter table use_holds add primary key (org, stream, generation_id);
