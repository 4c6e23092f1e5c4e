-- What operators have had done: audits with what they found, and rebuilds of the read models with how far they are.
-- They concern the whole deployment, so they belong to no organisation.
create table audits (
    id bigint generated always as identity primary key,
    by text collate "C" not null,
    started_at timestamptz not null,
    ended_at timestamptz not null default clock_timestamp(),
    holds boolean not null,
    report jsonb not null
);
grant select, insert on audits to scrip_writer;
grant select on audits to scrip_auditor;

-- A projector takes up what is `requested`, and what is `running` when nobody holds the lock of those who run one.
create table rebuilds (
    id bigint generated always as identity primary key,
    by text collate "C" not null,
    state text collate "C" not null default 'requested'
        check (state in ('requested', 'running', 'done', 'failed')),
    requested_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    seen_at timestamptz,
    ended_at timestamptz,
    done bigint not null default 0,
    total bigint not null default 0,
    generation integer,
    error text
);
create unique index rebuilds_one_open on rebuilds ((true)) where state in ('requested', 'running');
grant select, insert on rebuilds to scrip_writer;
grant select, update on rebuilds to scrip_projector;
grant select on rebuilds to scrip_auditor;

-- How far the notifier is, for the figures that operators look at.
grant select on notifier_positions to scrip_auditor;
