-- How much of each limit a group used (settled or counted, minus given back), by quarter of an hour (`at`, UTC) and by period;
-- `period` is the key of the period that it counts in, empty where there are none. A refund stands at its own time, in
-- the old period.
create table group_usage (
    org text collate "C" not null,
    group_id text collate "C" not null,
    at timestamptz not null,
    period text collate "C" not null,
    what text collate "C" not null,
    amount bigint not null
) with (fillfactor = 70);
-- keys
alter table group_usage add primary key (org, group_id, at, period, what);
