-- One row for each user in each group; gone when the user leaves or the group is deleted.
create table members (
    org text collate "C" not null,
    group_id text collate "C" not null,
    user_id text collate "C" not null,
    joined_at timestamptz not null,
    position bigint not null
);
-- keys
alter table members add primary key (org, group_id, user_id);
create index on members (org, user_id, position);
