"""Read model: the usage log of organisations' plan tokens (S3), append only."""

from datetime import datetime
from typing import NamedTuple

from domain.credits.events import CreditsDebited, CreditsRefunded, ReservationCaptured, ShortfallCollected
from projections.balances import Balance
from projections.facts import Fact
from projections.generations import GenerationRow
from projections.table import Table
from projections.transactions import Transaction

PLAN = "tokens."  # the units of accounts that plans grant to: tokens.{type}

Charge = CreditsDebited | ReservationCaptured | ShortfallCollected | CreditsRefunded


class TokenUse(NamedTuple):
    """One charge's row (token_usage.sql); amounts in whole tokens."""

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


TABLE = Table(
    "token_usage",
    TokenUse,
    {"org": "text", "position": "int8", "at": "timestamptz", "address": "text", "token_type": "text"}
    | {"user_id": "text", "feature": "text", "tokens": "int8", "remaining": "int8", "total": "int8"}
    | {"debit_id": "text", "generation_id": "text", "actor": "text", "sealed": "text"},
    key=2,
)


def is_plan_account(address: str) -> bool:
    """Whether an account is an organisation's for one type of plan tokens."""
    return address.startswith("org:") and address.rpartition(":")[2].startswith(PLAN)


def used(fact: Fact, balance: Balance, last: Transaction, generation: GenerationRow | None) -> TokenUse:
    """The row of a charge or refund; `last` is its movement, `generation` what a hold was for."""
    event = fact.event
    user = generation.user_id if generation is not None else getattr(event, "user", None)
    feature = generation.feature if generation is not None else getattr(event, "item", None)
    return TokenUse(
        fact.org, fact.position, fact.time, fact.id, balance.unit.removeprefix(PLAN), user, feature, -last.amount,
        balance.available, balance.debited - balance.refunded, event.debit_id, last.generation_id, fact.actor,
        last.sealed,
    )  # fmt: skip
