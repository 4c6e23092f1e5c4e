"""Why a generation was allowed or refused, which grants paid, and what has happened since: from the log."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from api.generations.answers import STATUSES, Explanation, check_answer, holds_answer, total, with_usd
from api.http.caller import Call, own_only
from api.http.endpoint import endpoint
from api.http.policy import May
from api.http.problems import not_found
from domain.credits.address import address_of, debit_tag, reservation_tag
from domain.credits.events import (
    OVERDRAFT,
    CreditsDebited,
    CreditsRefunded,
    CreditsReserved,
    ReservationCaptured,
    ShortfallRecorded,
    Slice,
)
from domain.generations.events import (
    Described,
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
    Settled,
)
from domain.generations.state import Status, stream_of
from domain.generations.told import checked, sentences
from domain.quotas.events import Amounts
from domain.registry import SCRIP
from domain.resources.table import RESOURCES
from domain.storage.events import ContentDeleted, ContentStored
from domain.storage.state import content_tag
from domain.wording import amount_text, bytes_text, usd_text
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.position import format_position


class Recorded(NamedTuple):
    """An event with where, when and by whom it was recorded."""

    position: int
    stream: str
    type: str
    actor: str
    time: datetime
    event: Any


def charged_debits(own: Iterable[Recorded]) -> tuple[str, ...]:
    """The ids of the debits that a generation was charged under, from its own events."""
    charges = (charge for each in own if isinstance(each.event, Settled) for charge in each.event.charges)
    return tuple(charge.debit_id for charge in charges if charge.debit_id is not None)


def stored_contents(own: Iterable[Recorded]) -> tuple[str, ...]:
    """The ids of the contents that a generation has stored, from its own events."""
    return tuple(content.id for each in own if isinstance(each.event, Settled) for content in each.event.contents)


def user_of_events(own: Sequence[Recorded]) -> str:
    """The user whose generation it is, from all events of its stream (one at least)."""
    return _decision([each.event for each in own]).user


def explained(own: Sequence[Recorded], others: Sequence[Recorded]) -> dict[str, Any]:
    """The explanation, from all events of the generation's stream (one at least) and those about what it moved."""
    decided = _decision([each.event for each in own])
    history = sorted((*own, *others), key=lambda each: each.position)
    allowed = isinstance(decided, GenerationHeld)
    checks = decided.checks if isinstance(decided, GenerationRefused) else ()
    return {
        "generation_id": decided.generation_id,
        "user_id": decided.user,
        **{name: getattr(decided, name) for name in ("operation", "provider", "model")},
        "status": _status([each.event for each in own]),
        "allowed": allowed,
        "reason": "ok" if allowed else getattr(decided, "reason", ""),
        "decision": _reasons(decided),
        "quote": with_usd(decided.quote._asdict()),
        "checks": [check_answer(checked(RESOURCES, check)) for check in checks],
        "holds": holds_answer(decided.holds if isinstance(decided, GenerationHeld) else ()),
        "held_from": [part for each in others for part in _held_from(each)],
        "paid_by": [part for each in others for part in _paid_by(each)],
        "history": [step for step in map(_step, history) if step is not None],
        "position": format_position(history[-1].position),
    }


def _decision(events: Sequence[Any]) -> GenerationHeld | GenerationRefused:
    """What was decided: that it may run, where it ever was; else the last refusal (a refused id may be tried again)."""
    held = [event for event in events if isinstance(event, GenerationHeld)]
    refused = [event for event in events if isinstance(event, GenerationRefused)]
    return (held or refused)[-1]


def _status(events: Sequence[Any]) -> Status:
    status = Status.REFUSED
    for event in events:
        status = STATUSES.get(type(event), status)
    return status


def _reasons(decided: GenerationHeld | GenerationRefused) -> str:
    if isinstance(decided, GenerationRefused):
        return "Refused. " + sentences(RESOURCES, decided.checks, decided.reason)
    if not decided.holds:
        return "Allowed: nothing that the organisation has checked applies to it."
    return (
        f"Allowed: all that it needs was there, and was held in one decision: {_held(decided.holds)}.{_price(decided)}"
    )


def _price(decided: Described) -> str:
    quote = decided.quote
    if quote.item is None:
        return " No entry of the price book applied, so the estimate for the operation did."
    return f" Priced as {quote.item} by version {quote.price_version} of the price book."


def _held(holds: Iterable[Held]) -> str:
    return ", ".join(_one_held(held) for held in holds)


def _one_held(held: Held) -> str:
    resource = RESOURCES.shown(held.resource)
    what = "a place" if resource.transient else _amounts(held.amounts)
    return f"{what} of {resource.whose(held.stream)}"


def _amounts(amounts: Amounts) -> str:
    return " and ".join(_amount(what, amount) for what, amount in amounts.items()) or "nothing"


def _amount(what: str, amount: int) -> str:
    """`1100 credits`, `10 MB`, `$0.04`, `2 images`: numbers that people settle by are never shortened."""
    if what in {"bytes", "usd"}:
        return amount_text(what, amount)
    if what in {"image", "video"}:
        return f"{amount} {what}{'' if amount == 1 else 's'}"
    return f"{amount} {what.removeprefix('tokens.').replace('_', ' ')} tokens" if "." in what else f"{amount} {what}"


def _held_from(each: Recorded) -> list[dict[str, Any]]:
    return _parts(each, each.event.slices, None) if isinstance(each.event, CreditsReserved) else []


def _paid_by(each: Recorded) -> list[dict[str, Any]]:
    if isinstance(each.event, ReservationCaptured | CreditsDebited):
        return _parts(each, each.event.slices, each.event.debit_id)
    return []


def _parts(each: Recorded, slices: Iterable[Slice], debit_id: str | None) -> list[dict[str, Any]]:
    """Each grant that a sum is of; what is below zero is of the account's credit limit."""
    return [
        {
            "debit_id": debit_id,
            "account": address_of(each.stream),
            "grant_id": None if part.grant == OVERDRAFT else part.grant,
            "source": "credit_limit" if part.grant == OVERDRAFT else part.source,
            "amount": part.amount,
        }
        for part in slices
    ]


def _step(each: Recorded) -> dict[str, Any] | None:
    text = _words(each)
    if text is None:
        return None
    answer = {"at": each.time, "position": format_position(each.position), "actor": each.actor}
    return answer | {"type": each.type, "text": text}


def _words(each: Recorded) -> str | None:  # noqa: C901, PLR0911, PLR0912 - one plain sentence for each event
    """What happened, for people; none for what the generation's own event says already."""
    event = each.event
    match event:
        case GenerationHeld():
            return f"Held until {event.expires_at:%Y-%m-%d %H:%M:%S} UTC: {_held(event.holds) or 'nothing'}."
        case GenerationRefused():
            return _reasons(event)
        case GenerationStarted():
            return "A worker started it."
        case GenerationExtended():
            return f"Extended until {event.expires_at:%Y-%m-%d %H:%M:%S} UTC; held now: {_held(event.holds)}."
        case GenerationPartCompleted():
            return f"A part was completed. {_settlement(event)}"
        case GenerationCompleted():
            return f"Completed. {_settlement(event)}"
        case GenerationSettledLate():
            return f"Completed after it had expired. {_settlement(event)}"
        case GenerationFailed():
            return f"Failed ({event.outcome.replace('_', ' ')}). {_settlement(event)}"
        case GenerationCancelled():
            return "Cancelled before it was started; all that was held went back."
        case GenerationExpired():
            return "Expired: nobody settled it in time, and all that was held went back."
        case GenerationRefunded():
            ended = f" No longer owed: {_amounts(total(event.written_off))}." if event.written_off else ""
            return f"Refunded: {_amounts(total(event.returned))}.{ended}"
        case CreditsRefunded():
            return f"{event.amount} of the debit {event.debit_id} went back to {address_of(each.stream)}."
        case ShortfallRecorded():
            return f"{event.amount} could not be paid from {address_of(each.stream)} and is owed."
        case ContentStored():
            return f"The content {event.content_id} was stored: {bytes_text(event.bytes)}."
        case ContentDeleted():
            return f"The content {event.content_id} was deleted: {bytes_text(event.bytes)} are free again."
        case _:
            return None


def _settlement(event: Settled) -> str:
    parts = [f"Charged: {_amounts(total(event.charges))}."]
    if event.usage:
        parts.insert(0, f"Used: {', '.join(f'{amount} {unit}' for unit, amount in event.usage.items())}.")
    for name, amounts in (("Returned", event.returned), ("Not charged", event.uncharged), ("Owed", event.shortfall)):
        if amounts:
            parts.append(f"{name}: {_amounts(amounts)}.")
    if event.usd:
        parts.append(f"Spent: {usd_text(event.usd)}.")
    return " ".join(parts)


MAX_OWN, MAX_OTHERS = 1_000, 5_000  # events that are read
_CODEC = LedgerMapper.of(SCRIP)


@endpoint("GET /api/v1/generations/{id}/explain", May.READ_GENERATIONS, Explanation)
async def explain_generation(call: Call, id: str) -> dict[str, Any]:
    """Why it was allowed or refused, which grants paid, and what happened since."""
    key = f"{call.org}/{stream_of(id)}"
    own = await call.services.read_log(
        lambda log: _decoded(log.organisation(call.org).select_events(key, limit=MAX_OWN))
    )
    if not own:
        raise not_found("generation", id)
    own_only(call, user_of_events(own))
    tags = [reservation_tag(id), *map(debit_tag, charged_debits(own)), *map(content_tag, stored_contents(own))]
    others = await call.services.read_log(lambda log: _decoded(log.tagged(call.org, tags, MAX_OTHERS)))
    return explained(own, others)


def _decoded(events: Sequence[LedgerEvent]) -> list[Recorded]:
    return [
        Recorded(event.position, event.stream, event.type, event.actor, event.time, _CODEC.to_domain_event(event).event)
        for event in events
    ]
