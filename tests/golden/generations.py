"""The examples of generations."""

from datetime import UTC, datetime
from typing import Any

from domain.credits.events import Paid
from domain.generations.events import (
    Charge,
    Content,
    GenerationCancelled,
    GenerationCompleted,
    GenerationExpired,
    GenerationExtended,
    GenerationFailed,
    GenerationHeld,
    GenerationPartCompleted,
    GenerationRefunded,
    GenerationRefused,
    GenerationSettledLate,
    GenerationStarted,
    Held,
    Quoted,
    ResourceCheck,
)
from domain.organisations.events import Outcome
from tests.resource_names import Resource

ENDS = datetime(2026, 3, 1, 12, 15, 0, 250000, tzinfo=UTC)
SEALED = "k1.c2VhbGVk"
ASKED: dict[str, Any] = {
    "generation_id": "job-7",
    "user": "u_42",
    "operation": "video",
    "provider": "MiniMax",
    "model": "MiniMax-Hailuo-02",
    "options": {"resolution": "768P", "duration": 6, "sound": True},
    "count": 2,
    "feature": "generate_leads",
    "parent_id": "job-6",
    "quote": Quoted(1360, 500, 80_000, 20_971_520, "lead_generation", 10, "MiniMax-Hailuo-02 768P 6s", 3),
}
HOLDS = (
    Held(Resource.CREDITS, "account/user:u_42:credits", {"credits": 1360}),
    Held(Resource.GROUPS, "group/g1", {"video": 2, "tokens.lead_generation": 10}),
)
CHARGES = (
    Charge(Resource.CREDITS, "account/user:u_42:credits", {"credits": 680}, "job-7.1"),
    Charge(Resource.BUDGET, "budget/u_42", {"usd": 40_000}, None, "2026-03"),
)
SETTLED: dict[str, Any] = {
    "generation_id": "job-7",
    "user": "u_42",
    "charges": CHARGES,
    "returned": {"credits": 680, "video": 1},
    "uncharged": {"tokens": 5},
    "shortfall": {"credits": 30},
    "usd": 40_000,
    "succeeded": 1,
    "contents": (Content("c-1", 9_000_000),),
    "provider_cost": Paid(12_345, "EUR"),
    "generation_time_ms": 61_234,
    "sealed": SEALED,
}
USAGE = {"input_tokens": 900, "output_tokens": 60}

GENERATIONS: dict[str, Any] = {
    "generation-held.v1": GenerationHeld(**ASKED, expires_at=ENDS, holds=HOLDS, sealed=SEALED),
    "generation-refused.v1": GenerationRefused(
        **ASKED,
        reason="group_limit",
        checks=(
            ResourceCheck(
                Resource.GROUPS, ok=False, reason="group_limit", needed=2, available=1, limit=7, subject="video/g1"
            ),
            ResourceCheck(
                Resource.CREDITS,
                ok=True,
                reason="insufficient_credits",
                needed=1360,
                available=2000,
                limit=None,
                subject="credits",
            ),
        ),
    ),
    "generation-started.v1": GenerationStarted(generation_id="job-7"),
    "generation-extended.v1": GenerationExtended(generation_id="job-7", expires_at=ENDS, holds=HOLDS),
    "generation-part-completed.v1": GenerationPartCompleted(**SETTLED, holds=HOLDS),
    "generation-completed.v1": GenerationCompleted(**SETTLED),
    "generation-settled-late.v1": GenerationSettledLate(**SETTLED),
    "generation-failed.v1": GenerationFailed(**SETTLED, outcome=Outcome.OUTPUT_BLOCKED),
    "generation-part-completed.v1.2": GenerationPartCompleted(**SETTLED, usage=USAGE, holds=HOLDS),
    "generation-completed.v1.2": GenerationCompleted(**SETTLED, usage=USAGE),
    "generation-settled-late.v1.2": GenerationSettledLate(**SETTLED, usage=USAGE),
    "generation-failed.v1.2": GenerationFailed(**SETTLED, usage=USAGE, outcome=Outcome.TIMED_OUT),
    "generation-cancelled.v1": GenerationCancelled(generation_id="job-7", sealed="key.text"),
    "generation-expired.v1": GenerationExpired(generation_id="job-7"),
    "generation-refunded.v1.2": GenerationRefunded(
        generation_id="job-7",
        refund_id="0190a1b7",
        returned=CHARGES,
        written_off=(Charge(Resource.CREDITS, "account/user:u_42:credits", {"credits": 30}),),
    ),
    "generation-refunded.v1": GenerationRefunded(
        generation_id="job-7", refund_id="0190a1b7", returned=CHARGES, contents=("c-1",), sealed=SEALED
    ),
}
