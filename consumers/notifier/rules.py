"""Which rules are looked at when: read this first."""

from consumers.notifier import credit_rules, limit_rules, usage_rules
from consumers.notifier.query import Query

# When a stream of a rule's kind has changed.
BY_CHANGE: tuple[Query, ...] = (
    limit_rules.BUDGET,
    limit_rules.GROUP,
    limit_rules.PLAN_TOKENS,
    credit_rules.CREDITS_LOW,
    credit_rules.CREDITS_EXHAUSTED,
    credit_rules.EXPIRING_TOUCHED,
    usage_rules.RAPID_REQUESTS,
    usage_rules.RAPID_DEDUCTIONS,
    usage_rules.REFUSED_GENERATIONS,
    usage_rules.GENERATION_EXPIRED,
    usage_rules.GENERATION_EXHAUSTED,
    usage_rules.PURCHASE_COMPLETED,
)
# Once a minute: what the clock alone brings about, and sums over a day.
EXPIRING = credit_rules.EXPIRING_BY_TIME
SPIKES = (usage_rules.USAGE_SPIKE, usage_rules.TOKEN_SPIKE)
REFUSED = usage_rules.REFUSED_DEDUCTIONS
