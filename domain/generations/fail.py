"""Settle a generation that failed: everything goes back but what the organisation's policy charges.

A provider bills what a cut stream has used, and the policy says how much of that the user pays: its percentage counts
from the price of the reported use, where use is reported and priced, else from the hold. Without a policy nothing is
charged, and the use is recorded all the same.
"""

from dataclasses import dataclass

from domain.generations.events import GenerationFailed
from domain.generations.rules import open_one
from domain.generations.settlement import NOTHING_REPORTED, Reported, Settlement, check_reported
from domain.generations.state import stream_of
from domain.kernel.work import Work
from domain.organisations.events import Outcome
from domain.organisations.state import organisation_of
from domain.resources.table import table


@dataclass(frozen=True, slots=True, kw_only=True)
class FailGeneration:
    """`reported` may name the use until it failed, the provider's cost and the time it took.

    `sealed` is the error message.
    """

    generation_id: str
    outcome: Outcome
    reported: Reported = NOTHING_REPORTED
    sealed: str | None = None


def fail(work: Work, command: FailGeneration) -> None:
    """The settlement policy charges a percentage by outcome; none where it names none. Never more than the hold.

    Only a success costs money or counts in a group (S1, S2). Raises NoSuchGeneration, GenerationEnded,
    InvalidSettlement, Unpriced (use of a unit without a rate, where the policy charges for it).
    """
    generation, asked = open_one(work, command.generation_id)
    check_reported(command.reported)
    place = work.mark()
    percent = organisation_of(work).settlement_policy.get(command.outcome, 0)
    settlement = Settlement(work, generation, asked, command.reported, final=True)
    for each in table(work).settling:
        each.settle_failed(settlement, percent)
    fields = settlement.fields(succeeded=None, sealed=command.sealed)
    failed = GenerationFailed(**fields, outcome=command.outcome)
    work.emit(stream_of(command.generation_id), failed, at=place)
