"""Settle a generation that failed: everything goes back but what the organisation's policy charges.

A provider bills what a cut stream has used, and the policy says how much of that the user pays: its percentage counts
from the price of the reported use, where use is reported and priced, else from the hold. Without a policy nothing is
charged, and the use is recorded all the same.
"""

from dataclasses import dataclass

from domain.generations.actual import NOTHING_REPORTED, Reported, check_reported, held_of, used_credits
from domain.generations.bill import Bill
from domain.generations.counting import Counting
from domain.generations.events import GenerationFailed
from domain.generations.paying import PAID, Payment
from domain.generations.rules import open_one
from domain.generations.state import stream_of
from domain.kernel.work import Work
from domain.organisations.events import Outcome, Resource
from domain.organisations.state import organisation_of


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
    bill = Bill()
    payment, counting = Payment(work, generation, asked, bill), Counting(work, generation, asked, bill)
    for resource in PAID:
        held = held_of(generation, resource)
        whole = held
        if resource is Resource.CREDITS and percent and command.reported.usage:
            used = used_credits(work, asked, command.reported.usage)
            whole = held if used is None else used
        amount = whole * percent // 100
        payment.pay(resource, min(amount, held), final=True)
        payment.leave(resource, max(0, amount - held))
    counting.count({}, final=True)
    counting.spend(0, final=True)
    counting.free(stored=0, final=True)
    fields = bill.settled(asked, command.reported, usd=0, succeeded=None, sealed=command.sealed)
    failed = GenerationFailed(**fields, outcome=command.outcome)
    work.emit(stream_of(command.generation_id), failed, at=place)
