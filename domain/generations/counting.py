"""How a generation's use counts in groups, in the budget and in storage when it is settled."""

from dataclasses import dataclass

from domain.budgets import state as budgets
from domain.generations import movements
from domain.generations.bill import Bill
from domain.generations.events import Charge, Content, GenerationHeld, Held
from domain.generations.state import Generation
from domain.groups import state as groups
from domain.kernel.work import Work
from domain.organisations.events import Resource
from domain.organisations.state import organisation_of
from domain.periods import Every
from domain.quotas.events import Amounts, UseCounted, UseSettled
from domain.quotas.quota import Quota, begin, fits, minus
from domain.storage import state as storages
from domain.storage.events import ContentStored


@dataclass(frozen=True, slots=True)
class Counting:
    """Counts one generation's use and writes it on the bill."""

    work: Work
    generation: Generation
    asked: GenerationHeld
    bill: Bill

    def count(self, used: Amounts, *, final: bool) -> None:
        """Count in every group that holds something for it; with `final` the rest goes back."""
        for held in self.generation.held(Resource.GROUPS):
            self._settle(held, used, final=final)

    def count_late(self, used: Amounts) -> None:
        """Count after the holds have expired, as far as each group's limits still have room."""
        for held in self.generation.held(Resource.GROUPS):
            group = groups.group_on(self.work, held.stream)
            room = {what: _room(group, what, amount) for what, amount in used.items()}
            room = {what: amount for what, amount in room.items() if amount}
            if group.live and room:
                key = self._now(held.stream, group.quota, group.every, room)
                self.bill.charges.append(Charge(Resource.GROUPS, held.stream, room, period=key))

    def spend(self, usd: int, *, final: bool) -> None:
        """Money that was really spent is always recorded, even above the budget (contract)."""
        held = self.generation.held(Resource.BUDGET)
        if held:
            self._settle(held[0], {budgets.USD: usd} if usd else {}, final=final)
        else:
            self.spend_late(usd)

    def spend_late(self, usd: int) -> None:
        """The same where nothing is held for it."""
        if not usd or not organisation_of(self.work).enforces(Resource.BUDGET):
            return
        stream = budgets.stream_of(self.asked.user)
        quota = budgets.budget_of(self.work, self.asked.user).quota
        key = self._now(stream, quota, Every.MONTH, {budgets.USD: usd})
        self.bill.charges.append(Charge(Resource.BUDGET, stream, {budgets.USD: usd}, period=key))

    def store(self, contents: tuple[Content, ...], sealed: dict[str, str | None]) -> None:
        """Stored bytes are recorded as they are, even past the limit (contract); `sealed`: their URLs."""
        stream = storages.stream_of(self.asked.user)
        if contents:
            fits(
                storages.storage_of(self.work, self.asked.user).quota,
                {storages.BYTES: sum(content.bytes for content in contents)},
            )
        for content in contents:
            stored = ContentStored(
                content_id=content.id,
                bytes=content.bytes,
                generation_id=self.asked.generation_id,
                sealed=sealed.get(content.id),
            )
            self.work.emit(stream, stored)

    def free(self, *, stored: int, final: bool) -> None:
        """Give back the space that was held: all of it at the end, before that as much as was stored."""
        for held in self.generation.held(Resource.STORAGE):
            if final:
                movements.release(self.work, held, self.asked.generation_id)
                continue
            taken = min(stored, held.amounts.get(storages.BYTES, 0))
            if taken:
                returned = {storages.BYTES: taken}
                part = UseSettled(generation_id=self.asked.generation_id, used={}, returned=returned, final=False)
                self.work.emit(held.stream, part)
            self.bill.holds.append(held._replace(amounts=minus(held.amounts, {storages.BYTES: taken})))

    def _settle(self, held: Held, used: Amounts, *, final: bool) -> None:
        quota = movements.quota_of(self.work, held)
        fits(quota, used)
        kept = quota.holds[self.asked.generation_id]
        used = {what: amount for what, amount in used.items() if amount}
        movements.use(self.work, held, self.asked.generation_id, used, final=final)
        if used:
            self.bill.charges.append(Charge(held.resource, held.stream, used, period=kept.period))
        rest = minus(held.amounts, used)
        if final:
            self.bill.returned = rest | self.bill.returned  # several groups count the same thing
        else:
            self.bill.holds.append(held._replace(amounts=rest))

    def _now(self, stream: str, quota: Quota, every: Every, used: Amounts) -> str:
        """Count use at once, in the period that runs or begins now; returns its key."""
        fits(quota, used)
        key = begin(self.work, stream, quota, every, organisation_of(self.work).time_zone)
        self.work.emit(stream, UseCounted(amounts=used, user=self.asked.user, ref=self.asked.generation_id))
        return key


def _room(group: groups.Group, what: str, amount: int) -> int:
    limit = group.limit(what)
    return amount if limit is None else max(0, min(amount, limit - group.quota.taken(what)))
