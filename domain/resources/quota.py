"""Resources that are counted against a limit."""

from collections.abc import Iterable
from typing import Any

from domain.credits.refusals import TooMany
from domain.generations.assessment import Assessment
from domain.generations.events import Charge, Held, ResourceCheck
from domain.generations.settlement import Settlement
from domain.kernel.work import Work
from domain.organisations.state import organisation_of
from domain.periods import Every
from domain.quotas import quota as quotas
from domain.quotas.events import Amounts, UseCounted, UseExtended, UseGivenBack, UseHeld, UseReleased, UseSettled
from domain.quotas.quota import MAX_OPEN_HOLDS, Quota, fits, minus
from domain.resources.resource import Action, HoldTerms, Resource


class QuotaResource(Resource):
    """Counted against a limit, in a period where it has one. Its streams' states have a `quota`.

    After `kind` comes the id of the `owner` (`user`, `group`) in a stream's name.
    """

    owner = "user"
    ways_out: tuple[Action, ...]

    def limit(self, work: Work, state: Any, unit: str) -> int | None:
        """The limit for a unit by the state of one of its streams; None: there is none."""
        raise NotImplementedError

    def default_limit(self, _assessment: Assessment) -> int | None:
        """The limit where the state has none; None: it is unlimited."""
        return None

    def period(self, _state: Any) -> Every:
        """How long its use counts."""
        return Every.TOTAL

    def subject(self, _stream: str, unit: str) -> str:
        """What checks say is counted."""
        return unit

    def used(self, settlement: Settlement) -> Amounts:
        """What a success has used: the part of what is held first for those that succeeded."""
        for held in settlement.held(self.name):
            return {unit: settlement.share(amount) for unit, amount in held.amounts.items()}
        return {}

    def needs(self, assessment: Assessment) -> Iterable[tuple[str, Amounts]]:
        """Its streams, each with the amounts that must be free there."""
        raise NotImplementedError

    def check(self, assessment: Assessment) -> None:
        work = assessment.work
        for stream, amounts in self.needs(assessment):
            state = work.state(stream)
            for unit, amount in amounts.items():
                limit = self.limit(work, state, unit)
                if limit is None:
                    limit = self.default_limit(assessment)
                left = None if limit is None else limit - state.quota.taken(unit)
                ok, available = (True, None) if left is None else (amount <= left, max(0, left))
                subject = self.subject(stream, unit)
                assessment.checks.append(ResourceCheck(self.name, ok, self.reason, amount, available, limit, subject))
            if any(amounts.values()):
                assessment.holds.append(Held(self.name, stream, amounts))

    def begin(self, work: Work, held: Held) -> None:
        state = work.state(held.stream)
        every = self.period(state)
        if every is not Every.TOTAL and state.quota.period is None:
            quotas.begin(work, held.stream, state.quota, every, organisation_of(work).time_zone)

    def hold(self, work: Work, held: Held, terms: HoldTerms) -> None:
        quota: Quota = work.state(held.stream).quota
        if len(quota.holds) >= MAX_OPEN_HOLDS:
            raise TooMany(what="reservations", limit=MAX_OPEN_HOLDS)
        fits(quota, held.amounts)
        use = UseHeld(generation_id=terms.generation_id, amounts=held.amounts, expires_at=terms.expires_at)
        work.emit(held.stream, use)

    def extend(self, work: Work, held: Held, terms: HoldTerms, _grown: int) -> Held:
        work.emit(held.stream, UseExtended(generation_id=terms.generation_id, expires_at=terms.expires_at))
        return held

    def release(self, work: Work, held: Held, generation_id: str) -> None:
        amounts = quota_of(work, held.stream).holds[generation_id].amounts
        work.emit(held.stream, UseReleased(generation_id=generation_id, amounts=amounts))

    def settle(self, settlement: Settlement) -> None:
        used = self.used(settlement)
        for held in settlement.held(self.name):
            self._count(settlement, held, used)

    def settle_failed(self, settlement: Settlement, _percent: int) -> None:
        """Only a success counts (S1, S2)."""
        for held in settlement.held(self.name):
            self._count(settlement, held, {})

    def settle_late(self, settlement: Settlement) -> None:
        """Count as far as each limit still has room."""
        used = self.used(settlement)
        for held in settlement.held(self.name):
            state = settlement.work.state(held.stream)
            room = {unit: self._room(settlement.work, state, unit, amount) for unit, amount in used.items()}
            room = {unit: amount for unit, amount in room.items() if amount}
            if room:
                self._count_now(settlement, held.stream, room)

    def refund(self, work: Work, charge: Charge, back: Amounts, refund_id: str) -> Charge | None:
        work.emit(charge.stream, UseGivenBack(amounts=back, period=charge.period, ref=refund_id))
        return charge._replace(amounts=back)

    def sentence(self, check: ResourceCheck) -> str:
        available = check.available or 0
        return f"{self.short.capitalize()}. This needs {check.needed}, but only {available} of {check.limit} is left."

    def actions(self, _reason: str) -> tuple[Action, ...]:
        return self.ways_out

    def place(self, stream: str) -> tuple[str, str]:
        return self.owner, stream.removeprefix(self.kind)

    def whose(self, stream: str) -> str:
        return f"the {self.name} of {stream.removeprefix(self.kind)}"

    def _count(self, settlement: Settlement, held: Held, used: Amounts) -> None:
        """Count what was really used, more than was held too; at the end the rest goes back."""
        work, id_ = settlement.work, settlement.asked.generation_id
        quota = quota_of(work, held.stream)
        fits(quota, used)
        kept = quota.holds[id_]
        used = {unit: amount for unit, amount in used.items() if amount}
        settled = UseSettled(
            generation_id=id_,
            used=used,
            returned=minus(kept.amounts, used) if settlement.final else {},
            final=settlement.final,
            period=kept.period,
        )
        work.emit(held.stream, settled)
        if used:
            settlement.charges.append(Charge(self.name, held.stream, used, period=kept.period))
        rest = minus(held.amounts, used)
        if settlement.final:
            settlement.returned = rest | settlement.returned  # several groups count the same thing
        else:
            settlement.holds.append(held._replace(amounts=rest))

    def _count_now(self, settlement: Settlement, stream: str, used: Amounts) -> None:
        """Count what nothing is held for, in the period that runs or begins now."""
        work, state = settlement.work, settlement.work.state(stream)
        fits(state.quota, used)
        key = quotas.begin(work, stream, state.quota, self.period(state), organisation_of(work).time_zone)
        work.emit(stream, UseCounted(amounts=used, user=settlement.asked.user, ref=settlement.asked.generation_id))
        settlement.charges.append(Charge(self.name, stream, used, period=key))

    def _room(self, work: Work, state: Any, unit: str, amount: int) -> int:
        limit = self.limit(work, state, unit)
        return amount if limit is None else max(0, min(amount, limit - state.quota.taken(unit)))


def quota_of(work: Work, stream: str) -> Quota:
    """The quota of a stream that has one."""
    quota: Quota = work.state(stream).quota
    return quota
