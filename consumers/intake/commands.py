"""What a usage event is about, which command that is, and what of it is kept sealed.

A worker's message names only a generation or a reservation; the ledger works by stream.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from consumers.usage import Actual, Completed, Metered, Started, UsageData
from domain.credits.address import address_of, parse_address, reservation_tag
from domain.credits.commands import Capture, Debit, DebitPriced, Release
from domain.credits.events import Paid
from domain.generations.commands import ConfirmGeneration, FailGeneration, StartGeneration
from domain.generations.events import Content
from domain.generations.settlement import Reported
from domain.generations.state import stream_of
from domain.money import micros
from domain.organisations.events import Outcome
from domain.prices.quote import Ask
from domain.registry import SCRIP
from infra.ids import record_id
from infra.log.mapper import LedgerMapper
from infra.log.statements import columns
from infra.quarantine import Connection

# A generation's holds on accounts have its tag too, so the generation is looked for first. Captures are tagged with
# their debit; everything else about a reservation is in its account's stream.
_WORK = """
    select wanted.org, wanted.id, e.stream, e.type, e.data
    from unnest(%b::text[], %b::text[], %b::text[], %b::text[]) as wanted (org, id, stream, tag)
    cross join lateral (
        (select 1 as turn, stream, type, data from events
         where org = wanted.org and events.stream = wanted.stream and type like 'generation-held.%%'
         order by version limit 1)
        union all
        (select 2, stream, null, null from events where org = wanted.org and tag = wanted.tag limit 1)
        order by turn limit 1
    ) e"""

WorkKey = tuple[str, str]  # organisation, id of a generation or reservation

_codec = LedgerMapper.of(SCRIP)


class Work(NamedTuple):
    """What the message is about: whose key seals its text, and the account of a bare reservation (none otherwise)."""

    owner: str
    address: str | None


async def work_of(connection: Connection, wanted: Collection[WorkKey]) -> dict[WorkKey, Work]:
    """The generations and reservations of these ids, open or ended; unknown ones are missing. One query for all."""
    if not wanted:
        return {}
    rows = [(org, id_, stream_of(id_), reservation_tag(id_)) for org, id_ in wanted]
    result = await connection.execute(_WORK, columns(rows, 4))
    return {(org, id_): _work(stream, type_, data) for org, id_, stream, type_, data in await result.fetchall()}


def _work(stream: str, type_: str | None, data: bytes | None) -> Work:
    if type_ is None or data is None:
        address = address_of(stream)
        return Work(parse_address(address).owner, address)
    return Work(f"user:{_codec.decode(type_, data).user}", None)


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

    `credits` is the amount on any account, unless the message also names the account's own unit.
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
