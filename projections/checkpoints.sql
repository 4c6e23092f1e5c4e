-- How far each partition of the log is folded into this generation. `kafka_offset` is that of the event at `position`
-- or of an earlier one (none before the first): reading resumes after it, and repeats are recognised by position.
create table checkpoints (
    partition smallint not null,
    position bigint not null,
    kafka_offset bigint,
    time timestamptz
) with (fillfactor = 50);
-- keys
alter table checkpoints add primary key (partition);
