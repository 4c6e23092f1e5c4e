-- One row for each attempt with a price in USD, and for each refund of one; integer micro-USD. `kind`: recorded (made
-- elsewhere), generation (one of Scrip's own that ended; `id` is its id) or refund (of a generation; `usd` is negative,
-- and it is no attempt). `usd` counts only where `success`.
create table costs (
    org text collate "C" not null,
    position bigint not null,
    kind text collate "C" not null,
    id text collate "C" not null,
    user_id text collate "C" not null,
    usd bigint not null,
    success boolean not null,
    size text collate "C",
    quality text collate "C",
    generation_time_ms bigint,
    sealed text collate "C",
    created_at timestamptz not null
);
-- keys
alter table costs add primary key (org, position);
create index on costs (org, user_id, position desc);
create index on costs (org, user_id, created_at);
