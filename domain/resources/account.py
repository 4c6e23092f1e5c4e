"""Resources that are paid from grants on accounts."""

from collections.abc import Iterable
from functools import lru_cache

from domain.bounds import MAX_SLICES, MAX_TOTAL
from domain.credits import address
from domain.credits.account import MAX_OPEN_HOLDS, Account, account_of
from domain.credits.burn import split
from domain.credits.commands import Refund, refund
from domain.credits.events import (
    CreditsDebited,
    CreditsRefunded,
    CreditsReserved,
    ReservationCaptured,
    ReservationExtended,
    ReservationReleased,
    ShortfallRecorded,
)
from domain.credits.refusals import AlreadyExists, TooMany, TooManyGrantsAtOnce
from domain.credits.rules import charge_of, expire_returned, grow, pay, payable
from domain.generations.assessment import Assessment
from domain.generations.events import Charge, Held, ResourceCheck
from domain.generations.request import Request
from domain.generations.settlement import Settlement
from domain.kernel.work import Work
from domain.organisations.events import OverActual
from domain.organisations.state import Organisation, organisation_of
from domain.quotas.events import Amounts
from domain.quotas.quota import plus
from domain.refusal import Refusal
from domain.resources.resource import UPGRADE, Action, HoldTerms, Resource


class AccountResource(Resource):
    """Paid from accounts of one unit, those of the organisation's setting `pay_from`, in that order.

    It is charged to its holds first, then as the organisation's setting `over_actual` says. `grows`: a generation can
    be extended to hold more of it.
    """

    kind = address.STREAM_PREFIX
    figure: str
    unit: str
    grows = True
    buy: Action

    def too_few(self, required: int, available: int) -> Refusal:
        """What is answered where more is asked for than there is."""
        raise NotImplementedError

    def unit_of(self, _token_type: str | None) -> str:
        """The unit of its amounts in a quote with plan tokens of this type."""
        return self.unit

    def owns(self, unit: str) -> bool:
        """Whether accounts of this unit pay for it."""
        return unit == self.unit

    def payers(self, org: str, organisation: Organisation, user: str, unit: str) -> tuple[str, ...]:
        """The streams of the accounts that pay for a user, in order."""
        return _payers(organisation.pay_from, org, user, unit)

    def reported(self, _settlement: Settlement) -> int | None:
        """The cost that a worker reports; None where it follows from the hold. Raises refusals of kind INVALID."""
        return None

    def cost_of_failure(self, settlement: Settlement) -> int:
        """The amount of which the organisation's policy charges a percentage: what is held."""
        return _sum(settlement.held(self.name))

    def more_streams(self, work: Work, request: Request) -> tuple[str, ...]:
        return self.payers(work.org, organisation_of(work), request.user, self.unit)

    def settling_streams(self, work: Work, user: str, *, growing: bool) -> tuple[str, ...]:
        organisation = organisation_of(work)
        if growing or organisation.over_actual is OverActual.AVAILABLE:
            return self.payers(work.org, organisation, user, self.unit)
        return ()

    def check(self, assessment: Assessment) -> None:
        unit = self.unit
        amount = assessment.amounts.get(unit)
        if not amount:
            return
        work = assessment.work
        streams = self.payers(work.org, assessment.organisation, assessment.request.user, unit)
        parts, available = _split_over(work, streams, amount)
        enough = available >= amount
        assessment.checks.append(ResourceCheck(self.name, enough, self.reason, amount, available, None, unit))
        for stream, part in parts.items():
            assessment.holds.append(Held(self.name, stream, {unit: part}))

    def hold(self, work: Work, held: Held, terms: HoldTerms) -> None:
        account, amount = account_of(work, held.stream), amount_of(held)
        if terms.generation_id in account.holds:  # a plain reservation has taken the id since
            raise AlreadyExists(field="id", value=terms.generation_id)
        if len(account.holds) >= MAX_OPEN_HOLDS:
            raise TooMany(what="reservations", limit=MAX_OPEN_HOLDS)
        reserved = CreditsReserved(
            reservation_id=terms.generation_id,
            amount=amount,
            expires_at=terms.expires_at,
            slices=pay(account, amount),
            item=terms.item,
            price_version=terms.price_version,
            generation=True,
        )
        work.emit(held.stream, reserved)

    def more(self, work: Work, user: str, amount: int) -> dict[str, int]:
        """How much more each account would hold; nothing of what the organisation does not have checked.

        Raises what `too_few` makes, and TooManyGrantsAtOnce.
        """
        organisation = organisation_of(work)
        if not amount or not organisation.enforces(self.name):
            return {}
        streams = self.payers(work.org, organisation, user, self.unit)
        parts, available = _split_over(work, streams, amount)
        if available < amount:
            raise self.too_few(amount, available)
        return parts

    def extend(self, work: Work, held: Held, terms: HoldTerms, grown: int) -> Held:
        account, id_ = account_of(work, held.stream), terms.generation_id
        slices = grow(account, account.holds[id_], grown) if grown else ()
        extended = ReservationExtended(reservation_id=id_, expires_at=terms.expires_at, grown=grown, slices=slices)
        work.emit(held.stream, extended)
        return held._replace(amounts={unit: amount + grown for unit, amount in held.amounts.items()}) if grown else held

    def release(self, work: Work, held: Held, generation_id: str) -> None:
        kept = account_of(work, held.stream).holds[generation_id]
        released = ReservationReleased(reservation_id=generation_id, amount=kept.amount, returned=kept.slices)
        work.emit(held.stream, released)
        expire_returned(work, held.stream, kept.slices)

    def settle(self, settlement: Settlement) -> None:
        self._pay(settlement, self._cost(settlement))

    def settle_failed(self, settlement: Settlement, percent: int) -> None:
        amount = self.cost_of_failure(settlement) * percent // 100 if percent else 0
        held = _sum(settlement.held(self.name))
        self._pay(settlement, min(amount, held))
        settlement.leave(self._unit(settlement), max(0, amount - held))

    def settle_late(self, settlement: Settlement) -> None:
        """Charge up to the former hold. What is not there becomes a shortfall; what is above it stays uncharged."""
        held = settlement.held(self.name)
        amount = self._cost(settlement)
        former = min(amount, _sum(held))
        settlement.leave(self._unit(settlement), amount - former)
        self._pay_available(settlement, tuple(each.stream for each in held), former)

    def refund(self, work: Work, charge: Charge, back: Amounts, refund_id: str) -> Charge | None:
        """At most the part of the debit that no direct refund has returned."""
        debit_id = charge.debit_id or ""
        history = work.history(charge.stream, address.debit_tag(debit_id))
        gone = sum(event.amount for event in history if isinstance(event, CreditsRefunded))
        ((unit, amount),) = back.items()
        amount = min(amount, charge_of(debit_id, history).amount - gone)
        if not amount:
            return None
        wanted = Refund(
            address=address.address_of(charge.stream),
            refund_id=f"{refund_id}.{debit_id.rpartition('.')[2]}",
            debit_id=debit_id,
            amount=amount,
        )
        refund(work, wanted)
        return charge._replace(amounts={unit: amount})

    def sentence(self, check: ResourceCheck) -> str:
        return str(self.too_few(check.needed, check.available or 0))

    def actions(self, _reason: str) -> tuple[Action, ...]:
        return (self.buy, UPGRADE)

    def eased_by_price(self, _check: ResourceCheck) -> bool:
        return True

    def place(self, stream: str) -> tuple[str, str]:
        return "account", address.address_of(stream)

    def whose(self, stream: str) -> str:
        return address.address_of(stream)

    def _unit(self, settlement: Settlement) -> str:
        return self.unit_of(settlement.asked.quote.token_type)

    def _cost(self, settlement: Settlement) -> int:
        reported = self.reported(settlement)
        return settlement.share(_sum(settlement.held(self.name))) if reported is None else reported

    def _pay(self, settlement: Settlement, amount: int) -> None:
        """Charge an amount to the holds, in their order, and what is above them as the organisation wants it."""
        left, streams = amount, []
        for held in settlement.held(self.name):
            part = min(left, amount_of(held))
            left -= part
            self._pay_held(settlement, held, part)
            streams.append(held.stream)
        if not left:
            return
        organisation, unit = organisation_of(settlement.work), self._unit(settlement)
        if organisation.over_actual is OverActual.REFUSE or not organisation.enforces(self.name):
            settlement.leave(unit, left)
            return
        streams += self.payers(settlement.work.org, organisation, settlement.asked.user, unit)
        self._pay_available(settlement, tuple(dict.fromkeys(streams)), left)

    def _pay_held(self, settlement: Settlement, held: Held, amount: int) -> None:
        work, id_ = settlement.work, settlement.asked.generation_id
        ((unit, whole),) = held.amounts.items()
        if amount:
            kept = account_of(work, held.stream).holds[id_]
            final = settlement.final or amount == kept.amount
            paid, rest = split(kept.slices, amount)
            captured = ReservationCaptured(
                reservation_id=id_,
                debit_id=settlement.next_debit_id(),
                amount=amount,
                slices=paid,
                final=final,
                returned=rest if final else (),
            )
            work.emit(held.stream, captured)
            if captured.returned:
                expire_returned(work, held.stream, captured.returned)
            settlement.charges.append(Charge(self.name, held.stream, {unit: amount}, captured.debit_id))
        elif settlement.final:
            self.release(work, held, id_)
        if whole > amount and settlement.final:
            settlement.returned = plus(settlement.returned, {unit: whole - amount})
        elif whole > amount:
            settlement.holds.append(held._replace(amounts={unit: whole - amount}))

    def _pay_available(self, settlement: Settlement, streams: tuple[str, ...], amount: int) -> None:
        """Charge without a hold. What the accounts do not have is owed by the first of them."""
        work, unit, left = settlement.work, self._unit(settlement), amount
        for stream in streams:
            account = account_of(work, stream)
            part = min(left, spendable(account), payable(account))
            if part > 0:
                left -= part
                debited = CreditsDebited(
                    debit_id=settlement.next_debit_id(),
                    amount=part,
                    slices=pay(account, part),
                    user=settlement.asked.user,
                )
                work.emit(stream, debited)
                settlement.charges.append(Charge(self.name, stream, {unit: part}, debited.debit_id))
        if left and streams:
            short = min(left, MAX_TOTAL - account_of(work, streams[0]).shortfall)
            settlement.leave(unit, left - short)
            if short:
                owed = ShortfallRecorded(generation_id=settlement.asked.generation_id, amount=short)
                work.emit(streams[0], owed)
                settlement.shortfall = plus(settlement.shortfall, {unit: short})


def spendable(account: Account) -> int:
    """What may be held of an account; nothing of one that is frozen or closed."""
    return 0 if account.frozen or account.closed else max(0, account.spendable)


def check_grants(account: Account, amount: int) -> None:
    """Refuse what is spread over too many grants, also when it is only asked for. Raises TooManyGrantsAtOnce."""
    if len(account.grants) >= MAX_SLICES and amount > payable(account):
        raise TooManyGrantsAtOnce(limit=MAX_SLICES, possible=payable(account))


def amount_of(held: Held) -> int:
    """What is held on an account."""
    return next(iter(held.amounts.values()))


def _sum(holds: Iterable[Held]) -> int:
    return sum(amount_of(held) for held in holds)


@lru_cache(maxsize=16_384)
def _payers(pay_from: tuple[str, ...], org: str, user: str, unit: str) -> tuple[str, ...]:
    owners = (owner.replace("{user}", user).replace("{org}", org) for owner in pay_from)
    return tuple(address.stream_of(f"{owner}:{unit}") for owner in owners)


def _split_over(work: Work, streams: tuple[str, ...], amount: int) -> tuple[dict[str, int], int]:
    """How much each account pays of an amount, in order, and what they have in all. Raises TooManyGrantsAtOnce."""
    parts, left, available = {}, amount, 0
    for stream in streams:
        account: Account = work.state(stream)
        has = spendable(account)
        available += has
        part = min(left, has)
        if part > 0:
            check_grants(account, part)
            parts[stream] = part
            left -= part
    return parts, available
