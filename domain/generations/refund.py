"""Undo what a generation was charged: credits, tokens, money and counts, whole or in part.

What was used and could not be charged (its shortfall) is undone first: what was never paid is not given back, and
the next grant no longer pays for it.
"""

from dataclasses import dataclass
from typing import NamedTuple

from domain.credits.account import account_of
from domain.credits.address import address_of, parse_address, reservation_tag
from domain.credits.events import ShortfallRecorded, ShortfallWrittenOff
from domain.generations.commands import known
from domain.generations.events import Charge, GenerationRefunded
from domain.generations.refusals import ExceedsCharge, InvalidSettlement, NothingToRefund
from domain.generations.state import Generation, stream_of
from domain.kernel.work import Work
from domain.quotas.quota import plus
from domain.resources.table import Resources, table


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundGeneration:
    """`amount` in what it mainly cost (credits, else tokens), or the named contents' share; without both, the rest."""

    generation_id: str
    refund_id: str
    amount: int | None = None
    contents: tuple[str, ...] = ()
    sealed: str | None = None


def refund_generation(work: Work, command: RefundGeneration) -> None:
    """Give back `amount` of the main resource and the same share of all else.

    In total never more than was charged and is still owed; what is owed ends first. Raises NoSuchGeneration,
    NothingToRefund, ExceedsCharge, InvalidSettlement (a content that it has not made).
    """
    place = work.mark()
    generation, _ = known(work, command.generation_id)
    owed = _owed(work, command.generation_id)
    resources = table(work)
    main = _main(resources, generation, owed)
    total = sum(_amount(charge) for charge in generation.charges if charge.resource == main)
    done = sum(_amount(charge) for charge in generation.refunded if charge.resource == main)
    done += sum(each.ended for each in owed if each.resource == main)
    short = sum(each.left for each in owed if each.resource == main)
    total += sum(each.ended for each in owed if each.resource == main) + short
    if done >= total:
        raise NothingToRefund(generation_id=command.generation_id)
    amount = _wanted(generation, command, total, done)
    if amount > total - done:
        raise ExceedsCharge(amount=amount, left=total - done)
    returned: list[Charge] = []
    written_off = _write_off(work, command.generation_id, owed, main, amount, (done + amount, total))
    left = amount - min(amount, short)
    for charge in reversed(_joined(generation.charges)):  # what was charged last comes back first
        given = _given_back(generation, charge)
        if charge.resource == main and charge.debit_id is not None:
            target = {what: min(charged, given.get(what, 0) + left) for what, charged in charge.amounts.items()}
        else:
            target = {what: charged * (done + amount) // total for what, charged in charge.amounts.items()}
        back = {what: target[what] - given.get(what, 0) for what in target}
        back = {what: more for what, more in back.items() if more > 0}
        undo = resources.by_name[charge.resource].refund
        part = undo(work, charge, back, command.refund_id) if back else None
        if part is not None:
            returned.append(part)
            left -= _amount(part) if charge.resource == main else 0
    if amount and not returned and not written_off:  # its debits were refunded one by one
        raise NothingToRefund(generation_id=command.generation_id)
    refunded = GenerationRefunded(
        generation_id=command.generation_id,
        refund_id=command.refund_id,
        returned=tuple(returned),
        contents=tuple(dict.fromkeys(command.contents)),
        sealed=command.sealed,
        written_off=written_off,
    )
    work.emit(stream_of(command.generation_id), refunded, at=place)


class _Owed(NamedTuple):
    """What a generation could not charge on one account: in all, of that ended by refunds, and what is still owed.

    An account does not know which shortfall a grant has paid, so no more is owed than the account's own shortfall.
    """

    resource: str
    stream: str
    unit: str
    recorded: int
    ended: int
    left: int


def shortfalls(work: Work, generation_id: str) -> dict[str, list[int]]:
    """By account: what was recorded as shortfall of a generation, and what refunds have ended of it."""
    found: dict[str, list[int]] = {}
    for stream, event in work.events(reservation_tag(generation_id)):
        if isinstance(event, ShortfallRecorded):
            found.setdefault(stream, [0, 0])[0] += event.amount
        elif isinstance(event, ShortfallWrittenOff):
            found.setdefault(stream, [0, 0])[1] += event.amount
    return found


def _owed(work: Work, generation_id: str) -> list[_Owed]:
    owed = []
    for stream, (recorded, ended) in shortfalls(work, generation_id).items():
        unit = parse_address(address_of(stream)).unit
        left = min(recorded - ended, account_of(work, stream).shortfall)
        owed.append(_Owed(table(work).paying(unit).name, stream, unit, recorded, ended, left))
    return owed


def _write_off(
    work: Work, generation_id: str, owed: list[_Owed], main: str, amount: int, share: tuple[int, int]
) -> tuple[Charge, ...]:
    """End `amount` of the main resource's shortfall, as far as it goes, and the same share of the others'."""
    ended = []
    for each in owed:
        if each.resource == main:
            part = min(amount, each.left)
            amount -= part
        else:
            part = min(each.left, max(0, each.recorded * share[0] // share[1] - each.ended))
        if part:
            work.emit(each.stream, ShortfallWrittenOff(amount=part, generation_id=generation_id))
            ended.append(Charge(each.resource, each.stream, {each.unit: part}))
    return tuple(ended)


def _joined(charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """The charges, with those of one period in one quota added up: a refund undoes them together."""
    joined: dict[tuple[str, str | None, str], Charge] = {}
    for charge in charges:
        key = (charge.stream, charge.debit_id, charge.period)
        known = joined.get(key)
        joined[key] = charge if known is None else known._replace(amounts=plus(known.amounts, charge.amounts))
    return tuple(joined.values())


def _wanted(generation: Generation, command: RefundGeneration, total: int, done: int) -> int:
    if command.amount is not None:
        return command.amount
    if not command.contents:
        return total - done
    made = {content.id for content in generation.contents}
    for content_id in command.contents:
        if content_id not in made or content_id in generation.refunded_contents:
            raise InvalidSettlement(field="contents", reason=f"{content_id} is none of its contents still to refund")
    before = len(generation.refunded_contents)
    after = before + len(set(command.contents))
    return min(total - done, total * after // len(made) - total * before // len(made))


def _main(resources: Resources, generation: Generation, owed: list[_Owed]) -> str:
    """What the generation mainly cost: the first of the resources that it was charged or owes.

    A shortfall that a grant has paid since is neither: it must not keep what was charged from coming back.
    """
    charged = {charge.resource for charge in generation.charges}
    charged |= {each.resource for each in owed if each.left or each.ended}
    return next((each.name for each in resources.main if each.name in charged), resources.main[0].name)


def _amount(charge: Charge) -> int:
    return sum(charge.amounts.values())


def _given_back(generation: Generation, charge: Charge) -> dict[str, int]:
    """What earlier refunds have given back of one charge."""
    total: dict[str, int] = {}
    for other in generation.refunded:
        if (other.stream, other.debit_id, other.period) == (charge.stream, charge.debit_id, charge.period):
            for what, amount in other.amounts.items():
                total[what] = total.get(what, 0) + amount
    return total
