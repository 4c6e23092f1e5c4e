-- One row for each generation that was asked for. `status`: refused, held, running, completed, failed, cancelled,
-- expired, settled_late; `reason` of a refusal, `outcome` of a failure. `quoted_…` is what it was expected to take,
-- `charged_…` what it took, `refunded_…` what of that came back; tokens and plan tokens (of `token_type`) are whole, USD
-- is integer micro-USD (`charged_usd`: actually spent), bytes are bytes. `uncharged` and `shortfall` are objects by unit:
-- cost above the hold that nobody paid, and what is owed. `holds`: what is held on each stream, or was when it expired.
-- `sealed` is the encrypted text of the request, `sealed_end` of its end. `position`: its last event.
create table generations (
    org text collate "C" not null,
    id text collate "C" not null,
    user_id text collate "C" not null,
    operation text collate "C" not null,
    provider text collate "C",
    model text collate "C",
    options jsonb not null,
    "count" bigint not null,
    feature text collate "C",
    token_type text collate "C",
    parent_id text collate "C",
    status text collate "C" not null,
    reason text collate "C",
    outcome text collate "C",
    quoted_credits bigint not null,
    quoted_tokens bigint not null,
    quoted_usd bigint not null,
    quoted_bytes bigint not null,
    quoted_plan_tokens bigint not null,
    item text collate "C",
    price_version integer,
    charged_credits bigint not null,
    charged_tokens bigint not null,
    charged_usd bigint not null,
    charged_plan_tokens bigint not null,
    refunded_credits bigint not null,
    refunded_tokens bigint not null,
    refunded_usd bigint not null,
    refunded_plan_tokens bigint not null,
    uncharged jsonb not null,
    shortfall jsonb not null,
    holds jsonb not null,
    succeeded bigint not null,
    contents bigint not null,
    content_bytes bigint not null,
    provider_cost bigint,
    provider_currency text collate "C",
    generation_time_ms bigint,
    created_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz,
    expires_at timestamptz,
    actor text collate "C" not null,
    sealed text collate "C",
    sealed_end text collate "C",
    created_position bigint not null,
    version bigint not null,
    position bigint not null
) with (fillfactor = 70);
-- keys
alter table generations add primary key (org, id);
create index on generations (org, user_id, created_position desc);
create index on generations (org, created_at);
create index on generations (org, created_position desc);
create index on generations (org, status, created_position desc);
create index on generations (org, parent_id) where parent_id is not null;
create index on generations (expires_at) where status in ('held', 'running');
