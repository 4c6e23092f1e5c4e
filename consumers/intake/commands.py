"""Which command a usage event is, and what of it is kept sealed."""

from typing import Any

from consumers.usage import Completed, Metered
from domain.credits.capture import Capture
from domain.credits.debit import Debit, DebitPriced
from domain.credits.release import Release
from domain.prices.quote import Ask
from infra.ids import new_id

# Of a completion: everything that describes the work rather than the charge.
DESCRIPTION = {
    "usage", "actual", "contents", "content", "provider_cost", "generation_time_ms",
    "outcome", "error_message", "metadata",
}  # fmt: skip


class NotYetPriced(Exception):
    """The event asks for a way of pricing that its account or entry does not have; the message says which."""


def personal(data: Completed | Metered) -> dict[str, Any]:
    """The fields that go into the event only sealed; none where there is nothing to seal."""
    fields = {"reason", "metadata"} if isinstance(data, Metered) else DESCRIPTION
    if not data.model_fields_set & fields:
        return {}
    return data.model_dump(include=fields, exclude_none=True)


def command_of(data: Completed | Metered, address: str, sealed: str | None) -> Any:
    """The command, on the account that pays or holds. Raises NotYetPriced."""
    if isinstance(data, Metered):
        return _charge(data, address, sealed)
    charged = data.actual.credits if data.actual else None
    if not data.success or charged == 0:
        return Release(address=address, reservation_id=data.generation_id, sealed=sealed)
    if data.succeeded is not None:
        raise NotYetPriced("succeeded counts the parts of a generation, but this is a reservation of an amount")
    return Capture(
        address=address,
        reservation_id=data.generation_id,
        debit_id=new_id(),
        amount=charged,
        final=data.final,
        sealed=sealed,
    )


def _charge(data: Metered, address: str, sealed: str | None) -> Debit | DebitPriced:
    if data.amount is not None:
        return Debit(address=address, debit_id=new_id(), amount=data.amount, sealed=sealed)
    ask = Ask(provider=data.provider, model=data.model, operation=data.operation, options=data.options or {})
    return DebitPriced(address=address, debit_id=new_id(), ask=ask, usage=data.usage, sealed=sealed)
