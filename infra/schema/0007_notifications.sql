-- Alerts, their way out by webhooks, refused checks, and how far the notifier has looked.

-- One row for each crossing of a rule, for ever: `key` says which crossing it was, so that it fires once. The rows are
-- also the outbox of the topic scrip.notifications: what has no `published_at` is still to be published, in order of id.
create table alerts (
    id bigint generated always as identity primary key,
    org text collate "C" not null,
    rule text collate "C" not null,
    key text collate "C" not null,
    type text collate "C" not null,
    severity text collate "C" not null check (severity in ('info', 'warning', 'critical')),
    subject text collate "C" not null,
    user_id text collate "C",
    message text not null,
    data jsonb not null,
    at timestamptz not null default scrip_now(),
    published_at timestamptz
);
create unique index alerts_once on alerts (org, rule, key);
create index alerts_org on alerts (org, id);
create index alerts_to_publish on alerts (id) where published_at is null;

-- `secret` is encrypted with a key of the deployment, which the database does not have. `types` null: all of them.
-- `failing_since`: the first failure after the last success.
create table webhooks (
    id text collate "C" primary key,
    org text collate "C" not null,
    url text not null,
    secret bytea not null,
    types text[] collate "C",
    description text not null default '',
    enabled boolean not null default true,
    disabled_reason text,
    failing_since timestamptz,
    created_by text collate "C" not null,
    created_at timestamptz not null default scrip_now(),
    updated_at timestamptz not null default scrip_now()
);
create index webhooks_org on webhooks (org, created_at, id);

-- One row for each alert and webhook, and one for each resend. `tries` is the log: a list of {at, status_code, error, ms}.
-- A pending one is due at `next_at`, which is moved ahead while it is being delivered.
create table deliveries (
    id text collate "C" primary key,
    org text collate "C" not null,
    webhook_id text collate "C" not null references webhooks on delete cascade,
    alert_id bigint not null references alerts,
    status text collate "C" not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
    attempts integer not null default 0,
    status_code integer,
    error text,
    tries jsonb not null default '[]',
    resend_of text collate "C",
    created_at timestamptz not null default scrip_now(),
    at timestamptz,
    next_at timestamptz default scrip_now()
);
create index deliveries_due on deliveries (next_at) where status = 'pending';
create index deliveries_webhook on deliveries (webhook_id, created_at desc, id desc);

-- Checks that said no, from the topic scrip.decisions: best effort, kept for 90 days.
create table refused_checks (
    org text collate "C" not null,
    id text collate "C" not null,
    at timestamptz not null,
    user_id text collate "C" not null,
    operation text collate "C" not null,
    model text collate "C",
    reason text collate "C" not null,
    deficit bigint not null,
    actor text collate "C" not null,
    primary key (org, id)
);
create index refused_checks_org on refused_checks (org, at);
create index refused_checks_at on refused_checks (at);

-- How far in the log `alerts` are decided and `decisions` are published.
create table notifier_positions (
    name text collate "C" not null,
    partition smallint not null,
    position bigint not null,
    primary key (name, partition)
);

-- Up to which moment rules that follow the clock alone have looked.
create table notifier_times (
    name text collate "C" primary key,
    at timestamptz not null
);

select protect_rows('alerts');
select protect_rows('webhooks');
select protect_rows('deliveries');
select protect_rows('refused_checks');

grant select, insert, update (published_at) on alerts to scrip_writer;
grant select, insert, update, delete on webhooks, deliveries to scrip_writer;
grant select, insert, delete on refused_checks to scrip_writer;
grant select, insert, update on notifier_positions, notifier_times to scrip_writer;
grant select on alerts, deliveries, refused_checks to scrip_reader, scrip_auditor;
-- A webhook's secret is for who signs with it.
grant select (id, org, url, types, description, enabled, disabled_reason, failing_since, created_by, created_at, updated_at)
    on webhooks to scrip_reader, scrip_auditor;
