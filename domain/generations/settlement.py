"""The settlement of a generation while it is made up: each resource adds what it charges and gives back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from domain.bounds import MAX_AMOUNT
from domain.credits.events import Paid
from domain.generations.events import Charge, Content, GenerationHeld, Held
from domain.generations.refusals import InvalidSettlement
from domain.generations.state import Generation
from domain.kernel.work import Work
from domain.quotas.events import Amounts
from domain.quotas.quota import plus


class Reported(NamedTuple):
    """What a worker reports with an outcome; amounts that it leaves out follow from the hold.

    `usage`: measured units by name, priced by the held price version. `succeeded`: how many of `count`. `usd`: micro.
    """

    usage: dict[str, int] | None = None
    credits: int | None = None
    tokens: int | None = None
    usd: int | None = None
    contents: tuple[Content, ...] = ()
    succeeded: int | None = None
    provider_cost: Paid | None = None
    generation_time_ms: int | None = None


NOTHING_REPORTED = Reported()


def check_reported(reported: Reported) -> None:
    """Money is at most 10^12 micro-units at a time, wherever it is reported. Raises InvalidSettlement."""
    cost = reported.provider_cost
    for name, amount in (("actual.usd", reported.usd), ("provider_cost.amount", cost.amount if cost else None)):
        if amount is not None and amount > MAX_AMOUNT:
            raise InvalidSettlement(field=name, reason=f"must be at most {MAX_AMOUNT} micro-units", limit=MAX_AMOUNT)


@dataclass(slots=True)
class Settlement:
    """One settlement of `generation`, as it was before. With `final` nothing of it stays held.

    `succeeded` of the `left` pieces that are still awaited are paid for. `sealed_urls`: each content's URL by its id.
    `charges`, `returned`, `uncharged` and `shortfall` are the results so far, `holds` is what stays held, `usd` the
    micro-USD that were spent.
    """

    work: Work
    generation: Generation
    asked: GenerationHeld
    reported: Reported
    final: bool
    left: int = 0
    succeeded: int = 0
    sealed_urls: dict[str, str | None] = field(default_factory=dict)
    charges: list[Charge] = field(default_factory=list)
    returned: Amounts = field(default_factory=dict)
    uncharged: Amounts = field(default_factory=dict)
    shortfall: Amounts = field(default_factory=dict)
    holds: list[Held] = field(default_factory=list)
    usd: int = 0
    _held: dict[str, list[Held]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Every resource asks twice what is held of it, also where nothing is: the holds are walked once."""
        for held in self.generation.holds:
            self._held.setdefault(held.resource, []).append(held)

    def held(self, resource: str) -> Sequence[Held]:
        """What is held of a resource, stream by stream."""
        return self._held.get(resource, ())

    def share(self, amount: int) -> int:
        """The part of what is held for those that succeeded, rounded up; at the end all of it."""
        if self.final and self.succeeded == self.left:
            return amount
        return -(-amount * self.succeeded // self.left) if self.left else 0

    def leave(self, unit: str, amount: int) -> None:
        """Report a cost that nobody pays."""
        if amount:
            self.uncharged = plus(self.uncharged, {unit: amount})

    def next_debit_id(self) -> str:
        """Debits are numbered by their generation; all charges count, also those of quotas."""
        return f"{self.asked.generation_id}.{len(self.generation.charges) + len(self.charges) + 1}"

    def fields(self, *, succeeded: int | None, sealed: str | None) -> dict[str, Any]:
        """The fields of `Settled`."""
        reported = self.reported
        return {
            "generation_id": self.asked.generation_id,
            "user": self.asked.user,
            "charges": tuple(self.charges),
            "returned": self.returned,
            "uncharged": self.uncharged,
            "shortfall": self.shortfall,
            "usd": self.usd,
            "succeeded": succeeded,
            "contents": reported.contents,
            "provider_cost": reported.provider_cost,
            "generation_time_ms": reported.generation_time_ms,
            "sealed": sealed,
            "usage": reported.usage or {},
        }


def successful(
    work: Work, generation: Generation, asked: GenerationHeld, reported: Reported, *, final: bool
) -> Settlement:
    """The settlement of a success. What is not reported will be the share of the hold for those that succeeded.

    At the end that is all that is left; a part is charged only what is reported of it.
    Raises InvalidSettlement where more succeeded than was asked for.
    """
    left = asked.count - generation.succeeded
    succeeded = reported.succeeded
    if succeeded is None:
        succeeded = left if final else 0
    if succeeded > left:
        raise InvalidSettlement(field="succeeded", reason=f"at most {left} of {asked.count} are left", limit=left)
    return Settlement(work, generation, asked, reported, final, left, succeeded)
