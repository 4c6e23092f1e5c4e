-- What a projector found in the ledger's topic that is not as the log has it. `foreign`: records that are not the
-- log's events; `missing`: events that the topic lacks, read from the log instead. A row stands for all records of
-- its kind from `first_offset` to `last_offset`; `position` and `reason` are the first one's. It is open, and an
-- alarm, until an operator acknowledges it. It concerns the whole deployment and says nothing about an organisation.
create table topic_faults (
    id bigint generated always as identity primary key,
    topic text collate "C" not null,
    partition smallint not null,
    kind text collate "C" not null check (kind in ('foreign', 'missing')),
    first_offset bigint not null,
    last_offset bigint not null,
    records bigint not null,
    position bigint,
    reason text not null,
    found_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    acknowledged_at timestamptz,
    acknowledged_by text collate "C"
);
create unique index topic_faults_open on topic_faults (topic, partition, kind) where acknowledged_at is null;
grant select, insert on topic_faults to scrip_projector;
grant update (first_offset, last_offset, records, last_at) on topic_faults to scrip_projector;
grant select, update (acknowledged_at, acknowledged_by) on topic_faults to scrip_writer;
grant select on topic_faults to scrip_auditor;

-- Deductions of plan tokens that were refused, beside the refused checks: who asks again and again is told of.
alter table refused_checks add column deduction boolean not null default false;
create index refused_checks_deductions on refused_checks (org, user_id, at desc) where deduction;
