"""Read model: the usage log of organisations' plan tokens (S3), append only."""

from datetime import datetime
from typing import NamedTuple

from domain.credits.events import CreditsDebited, CreditsRefunded, ReservationCaptured, ShortfallCollected
from projections.balances import BALANCES, PLAN
from projections.facts import Fact
from projections.generations import GENERATIONS
from projections.read_model import Index, Keep, ReadModel, State
from projections.reservations import hold_of
from projections.transactions import TRANSACTIONS


class TokenUse(NamedTuple):
    """The usage log of an organisation's plan tokens, append only: one row for each charge on an account
    `org:{org}:tokens.{type}`, and for each refund of one (`tokens` is then negative). `remaining` is the account's
    balance after it. `feature` is that of the deduction or generation; `sealed` is its encrypted metadata. `total` is
    all that was used of the account until then, refunds taken off, so that what was used in a time is the difference of
    two rows.
    """

    org: str
    position: int
    at: datetime
    address: str
    token_type: str
    user_id: str | None
    feature: str | None
    tokens: int
    remaining: int
    total: int
    debit_id: str
    generation_id: str | None
    actor: str
    sealed: str | None


def is_plan_account(address: str) -> bool:
    """Whether an account is an organisation's for one type of plan tokens."""
    return address.startswith("org:") and address.rpartition(":")[2].startswith(PLAN)


def fold(state: State, fact: Fact) -> None:
    """Add the row of a charge or refund of plan tokens. What a hold was for is said by its generation."""
    if not is_plan_account(fact.id):
        return
    event, hold, last = fact.event, hold_of(state, fact), state.log(TRANSACTIONS)[-1]
    balance = state.rows(BALANCES)[fact.org, fact.id]
    generation = state.rows(GENERATIONS).get((fact.org, hold.id)) if hold is not None and hold.generation else None
    user = generation.user_id if generation is not None else getattr(event, "user", None)
    feature = generation.feature if generation is not None else getattr(event, "item", None)
    use = TokenUse(
        fact.org, fact.position, fact.time, fact.id, balance.unit.removeprefix(PLAN), user, feature, -last.amount,
        balance.available, balance.debited - balance.refunded, event.debit_id, last.generation_id, fact.actor,
        last.sealed,
    )  # fmt: skip
    state.log(TOKEN_USAGE).append(use)


TOKEN_USAGE = ReadModel(
    name="token_usage",
    row=TokenUse,
    key=("org", "position"),
    events={"account": (CreditsDebited, ReservationCaptured, ShortfallCollected, CreditsRefunded)},
    fold=fold,
    keep=Keep.LOG,
    indexes=(
        Index("org, token_type, position desc"),
        Index("org, user_id, position desc"),
        Index("org, at"),
        Index("org, token_type, at desc, position desc"),
    ),
)
