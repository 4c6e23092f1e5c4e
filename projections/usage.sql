-- All use, by quarter of an hour (`at`; in `usage_daily` by `day`; both UTC): the base of analytics and reports. What
-- accounts were charged stands in `credits`, `tokens`, `plan_tokens` and, of accounts in any other `unit`, `other`,
-- whatever way it came: their sum is what accounts were debited less what was refunded. `usd` is what budgets count.
-- Each amount stands at the time of its charge; refunds lower the sums at their own.
-- A generation counts when it ends (`outcome` completed, failed, cancelled, expired or settled_late) or is refused
-- (refused); what its parts were charged until then has the outcome completed. `reason` is why it was refused or how
-- it failed. One that expired and is completed late is taken off the expired ones then. Charges that were no generation
-- have the outcome charged, and as operation what the price book priced, else debit, metered, import, reservation,
-- deduction (of plan tokens) or shortfall; an attempt that was made elsewhere is recorded, completed or failed.
-- What a row does not have is an empty text; `key` is a digest of all that tells rows of a quarter apart. Credits and
-- tokens are whole, `usd` and `provider_cost` micro-units (the latter in `currency`), `time_ms` milliseconds.
create table usage (
    org text collate "C" not null,
    at timestamptz not null,
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
    unit text collate "C" not null,
    generations numeric not null,
    succeeded numeric not null,
    credits numeric not null,
    tokens numeric not null,
    plan_tokens numeric not null,
    other numeric not null,
    usd numeric not null,
    provider_cost numeric not null,
    time_ms numeric not null
) with (fillfactor = 70);
-- keys
alter table usage add primary key (org, at, key);
