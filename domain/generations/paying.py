"""How accounts pay for a generation: from its holds first, then as the organisation's setting `over_actual` says."""

from dataclasses import dataclass

from domain.bounds import MAX_TOTAL
from domain.credits.account import account_of
from domain.credits.events import ShortfallRecorded
from domain.credits.rules import payable
from domain.generations import movements
from domain.generations.assess import payers, spendable
from domain.generations.bill import Bill
from domain.generations.events import Charge, GenerationHeld, Held
from domain.generations.movements import amount_of
from domain.generations.state import Generation
from domain.kernel.work import Work
from domain.organisations.events import OverActual, Resource
from domain.organisations.state import organisation_of
from domain.quotas.quota import plus

PAID = (Resource.CREDITS, Resource.TOKENS, Resource.PLAN)  # the resources that accounts pay for


@dataclass(frozen=True, slots=True)
class Payment:
    """Pays for one generation and writes it on the bill."""

    work: Work
    generation: Generation
    asked: GenerationHeld
    bill: Bill

    def pay(self, resource: Resource, amount: int, *, final: bool) -> None:
        """Charge `amount` of a resource to its holds, in their order; with `final` the rest of them goes back."""
        left = amount
        for held in self.generation.held(resource):
            part = min(left, amount_of(held))
            left -= part
            self._from_hold(held, part, final=final)
        if left:
            self._above(resource, left)

    def pay_late(self, resource: Resource, amount: int) -> None:
        """Charge after the holds have expired: up to what they were, from what is available (contract).

        What is not there becomes a shortfall; what is above the former hold stays uncharged.
        """
        held = self.generation.held(resource)
        former = min(amount, sum(amount_of(each) for each in held))
        self.leave(resource, amount - former)
        self._from_available(resource, tuple(each.stream for each in held), former)

    def leave(self, resource: Resource, amount: int) -> None:
        """Report a cost that nobody pays."""
        if amount:
            self.bill.uncharged = plus(self.bill.uncharged, {self._unit(resource): amount})

    def _from_hold(self, held: Held, amount: int, *, final: bool) -> None:
        bill, id_ = self.bill, self.asked.generation_id
        unit, left = next(iter(held.amounts)), amount_of(held) - amount
        if amount:
            debit_id = self._debit_id()
            movements.capture(self.work, held, id_, debit_id, amount, final=final)
            bill.charges.append(Charge(held.resource, held.stream, {unit: amount}, debit_id))
        elif final:
            movements.release(self.work, held, id_)
        if left and final:
            bill.returned = plus(bill.returned, {unit: left})
        elif left:
            bill.holds.append(held._replace(amounts={unit: left}))

    def _above(self, resource: Resource, amount: int) -> None:
        """What costs more than was held."""
        unit, organisation = self._unit(resource), organisation_of(self.work)
        if organisation.over_actual is OverActual.REFUSE or not organisation.enforces(resource):
            self.leave(resource, amount)
            return
        streams = tuple(held.stream for held in self.generation.held(resource))
        if resource is not Resource.PLAN:
            streams += payers(self.work, organisation, self.asked.user, unit)
        self._from_available(resource, tuple(dict.fromkeys(streams)), amount)

    def _from_available(self, resource: Resource, streams: tuple[str, ...], amount: int) -> None:
        bill, unit, left = self.bill, self._unit(resource), amount
        for stream in streams:
            account = account_of(self.work, stream)
            part = min(left, spendable(account), payable(account))
            if part > 0:
                left -= part
                debit_id = self._debit_id()
                movements.debit(self.work, stream, debit_id, part, self.asked.user)
                bill.charges.append(Charge(resource, stream, {unit: part}, debit_id))
        if left and streams:
            short = min(left, MAX_TOTAL - account_of(self.work, streams[0]).shortfall)
            self.leave(resource, left - short)
            if short:
                owed = ShortfallRecorded(generation_id=self.asked.generation_id, amount=short)
                self.work.emit(streams[0], owed)
                bill.shortfall = plus(bill.shortfall, {unit: short})

    def _unit(self, resource: Resource) -> str:
        return f"tokens.{self.asked.quote.token_type}" if resource is Resource.PLAN else resource.value

    def _debit_id(self) -> str:
        """Debits are numbered by their generation."""
        return f"{self.asked.generation_id}.{len(self.generation.charges) + len(self.bill.charges) + 1}"
