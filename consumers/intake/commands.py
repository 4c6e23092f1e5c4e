"""Which command a usage event is, and what of it is kept sealed."""

from typing import Any

from consumers.intake.lookup import Work
from consumers.usage import Actual, Completed, Metered, Started, UsageData
from domain.credits.address import parse_address
from domain.credits.commands import Capture, Debit, DebitPriced, Release
from domain.credits.events import Paid
from domain.generations.commands import ConfirmGeneration, FailGeneration, StartGeneration
from domain.generations.events import Content
from domain.generations.settlement import Reported
from domain.money import micros
from domain.organisations.events import Outcome
from domain.prices.quote import Ask
from infra.ids import record_id

# Of a completed reservation: everything that describes the work rather than the charge.
DESCRIPTION = {
    "usage", "actual", "contents", "content", "provider_cost", "generation_time_ms",
    "outcome", "error_message", "metadata",
}  # fmt: skip
PERSONAL = {"reason", "error_message", "metadata"}  # of anything else; business figures are in clear (contract)


class NotYetPriced(Exception):
    """The event asks for a way of pricing that its account or entry does not have; the message says which."""


def personal(data: UsageData, work: Work) -> dict[str, Any]:
    """The fields that go into the event only sealed; none where there is nothing to seal."""
    fields = DESCRIPTION if isinstance(data, Completed) and work.address else PERSONAL
    if not data.model_fields_set & fields:
        return {}
    return data.model_dump(include=fields, exclude_none=True)


def urls(data: UsageData, work: Work) -> dict[str, str]:
    """The URLs of a generation's contents by content, which are personal too."""
    if not isinstance(data, Completed) or work.address:
        return {}
    return {content.id: content.url for content in data.made if content.url}


def command_of(data: UsageData, work: Work, sealed: str | None, sealed_urls: dict[str, str | None]) -> Any:
    """The command; none where nothing is to be done. Raises NotYetPriced."""
    if isinstance(data, Metered):
        return _charge(data, sealed)
    if work.address is not None:
        return _of_reservation(data, work.address, sealed)
    if isinstance(data, Started):
        return StartGeneration(generation_id=data.generation_id)
    if not data.success:
        return FailGeneration(
            generation_id=data.generation_id,
            outcome=Outcome(data.outcome or "other"),
            reported=_reported(data),
            sealed=sealed,
        )
    return ConfirmGeneration(
        generation_id=data.generation_id,
        reported=_reported(data),
        final=data.final,
        sealed=sealed,
        sealed_urls=sealed_urls,
    )


def _reported(data: Completed) -> Reported:
    actual, cost = data.actual, data.provider_cost
    return Reported(
        usage=data.usage,
        credits=actual.credits if actual else None,
        tokens=actual.tokens if actual else None,
        usd=micros(actual.usd) if actual and actual.usd is not None else None,
        contents=tuple(Content(content.id, content.bytes or 0) for content in data.made),
        succeeded=data.succeeded,
        provider_cost=Paid(micros(cost.amount), cost.currency) if cost else None,
        generation_time_ms=data.generation_time_ms,
    )


def _of_reservation(data: Started | Completed, address: str, sealed: str | None) -> Any:
    """A bare reservation has no state `running`, and no parts that could succeed by count."""
    if isinstance(data, Started):
        return None
    charged = _actual_in(data.actual, parse_address(address).unit)
    if charged == 0 and not data.final:
        raise NotYetPriced("a part (final false) of 0 charges nothing")
    if not data.success or charged == 0:
        return Release(address=address, reservation_id=data.generation_id, sealed=sealed)
    if data.succeeded is not None:
        raise NotYetPriced("succeeded counts the parts of a generation, but this is a reservation of an amount")
    return Capture(
        address=address,
        reservation_id=data.generation_id,
        debit_id=record_id(),
        amount=charged,
        final=data.final,
        sealed=sealed,
    )


def _actual_in(actual: Actual | None, unit: str) -> int | None:
    """What was really used of the account's unit; none for all that is held. Raises NotYetPriced for another unit.

    `credits` stands for the amount on any account, as it always has, unless the account's own unit is named too.
    """
    if actual is None:
        return None
    if unit.partition(".")[0] == "tokens" and actual.tokens is not None:
        return actual.tokens
    if actual.tokens and actual.credits is None:
        raise NotYetPriced(f"actual names tokens, but the reservation holds {unit}")
    return actual.credits


def _charge(data: Metered, sealed: str | None) -> Debit | DebitPriced:
    if data.amount is not None:
        return Debit(address=data.account, debit_id=record_id(), amount=data.amount, sealed=sealed)
    ask = Ask(provider=data.provider, model=data.model, operation=data.operation, options=data.options or {})
    return DebitPriced(address=data.account, debit_id=record_id(), ask=ask, usage=data.usage, sealed=sealed)
