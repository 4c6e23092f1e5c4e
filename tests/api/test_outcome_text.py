"""What became of a generation, in one sentence."""

import pytest

from api.generations.reads import Moved, outcome_text

C = "credits"


@pytest.mark.parametrize(
    ("status", "moved", "owed", "text"),
    [
        ("completed", {C: Moved(1_240, 1_100, 140)}, {}, "Completed: 1,100 credits charged, 140 returned"),
        ("completed", {C: Moved(1, 1)}, {}, "Completed: 1 credit charged"),
        ("completed", {}, {}, "Completed: nothing charged"),
        ("completed", {"usd": Moved(80_000, 40_000, 40_000)}, {}, "Completed: $0.04 charged, $0.04 returned"),
        ("completed", {"plan_tokens": Moved(8, 8)}, {}, "Completed: 8 plan tokens charged"),
        (
            "completed",
            {C: Moved(90, 90, 0, 30), "tokens": Moved(100, 60, 40)},
            {},
            "Completed: 90 credits and 60 tokens charged, 40 tokens returned, 30 credits refunded",
        ),
        ("completed", {C: Moved(90, 90)}, {C: 10}, "Completed: 90 credits charged, 10 still owed"),
        ("failed", {C: Moved(90, 0, 90)}, {}, "Failed: nothing charged"),
        ("failed", {C: Moved(90, 45, 45)}, {}, "Failed: 45 credits charged, 45 returned"),
        ("cancelled", {C: Moved(90, 0, 90)}, {}, "Cancelled: nothing charged"),
        ("expired", {C: Moved(90, 0, 90)}, {}, "Expired: nothing charged"),
        ("settled_late", {C: Moved(90, 0, 90)}, {C: 90}, "Completed late: nothing charged, 90 credits still owed"),
        ("held", {C: Moved(1_100)}, {}, "Waiting: 1,100 credits held, not charged"),
        ("running", {C: Moved(1_100)}, {}, "Running: 1,100 credits held, not charged"),
        ("running", {C: Moved(100, 40)}, {}, "Running: 40 credits charged so far, 60 credits held"),
        ("running", {}, {}, "Running: nothing held, not charged"),
        ("paused_somehow", {}, {}, "Paused somehow: nothing charged"),
    ],
)
def test_each_outcome_in_words(status: str, moved: dict[str, Moved], owed: dict[str, int], text: str) -> None:
    assert outcome_text(status, None, moved, owed) == text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("insufficient_credits", "Refused: not enough credits"),
        ("group_limit", "Refused: a group's limit is reached"),
        ("some_new_reason", "Refused: some new reason"),
        (None, "Refused: not allowed"),
    ],
)
def test_refusals_in_words(reason: str | None, text: str) -> None:
    assert outcome_text("refused", reason, {C: Moved()}, {}) == text
