"""The fake server's accounts: grants that burn in order, holds on parts of them, charges and what is given back."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scrip_client.testing.refusals import Refused, not_found, short_of


@dataclass(slots=True)
class Grant:
    """A grant and what is free of it."""

    id: str
    amount: int
    free: int
    source: str
    priority: int
    granted_at: datetime
    expires_at: datetime | None
    over: bool = False
    void: bool = False


@dataclass(slots=True)
class Slice:
    """A part of a grant."""

    grant: Grant
    amount: int


@dataclass(slots=True)
class Hold:
    """A reservation, or what a generation holds of an account."""

    id: str
    slices: list[Slice]
    created_at: datetime
    expires_at: datetime
    amount: int
    captured: int = 0
    status: str = "held"
    generation: bool = False

    @property
    def left(self) -> int:
        """What is still held."""
        return sum(part.amount for part in self.slices)


@dataclass(slots=True)
class Debit:
    """A charge and the grants that paid."""

    id: str
    slices: list[Slice]
    amount: int
    refunded: int = 0


@dataclass(slots=True)
class Account:
    """One account. Every change keeps the contract's sum."""

    address: str
    granted: int = 0
    debited: int = 0
    refunded: int = 0
    expired: int = 0
    voided: int = 0
    shortfall: int = 0
    grants: list[Grant] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)
    debits: dict[str, Debit] = field(default_factory=dict)
    movements: list[dict[str, Any]] = field(default_factory=list)

    @property
    def unit(self) -> str:
        """What it counts."""
        return self.address.rpartition(":")[2]

    @property
    def available(self) -> int:
        """What may be spent."""
        return sum(grant.free for grant in self.grants)

    @property
    def reserved(self) -> int:
        """What is held."""
        return sum(hold.left for hold in self.holds.values())

    def give(self, grant: Grant) -> None:
        """Grant; what is owed is collected first."""
        self.grants.append(grant)
        self.grants.sort(key=lambda one: (one.priority, one.expires_at or datetime.max.replace(tzinfo=grant_zone(one))))
        self.granted += grant.amount
        if owed := min(self.shortfall, self.available):
            self.shortfall -= owed
            self.debited += sum(part.amount for part in self.take(owed))

    def take(self, amount: int) -> list[Slice]:
        """Parts of grants, in burn order. Raises Refused."""
        if amount > self.available:
            raise short_of(self.unit, amount, self.available)
        parts = []
        for grant in self.grants:
            part = min(amount, grant.free)
            if part:
                grant.free -= part
                amount -= part
                parts.append(Slice(grant, part))
        return parts

    def put_back(self, slices: list[Slice]) -> None:
        """Return parts to their grants; of one that is over they are void or expired."""
        for part in slices:
            part.grant.free += part.amount
        self.drop_spoiled()

    def hold(self, hold: Hold) -> None:
        """Remember a hold."""
        self.holds[hold.id] = hold

    def open_hold(self, id_: str) -> Hold:
        """A hold that has not ended. Raises Refused."""
        hold = self.holds.get(id_)
        if hold is None:
            raise not_found("reservation", id_)
        if hold.status != "held":
            detail = f"The reservation {id_} has already ended: it was {hold.status}."
            raise Refused(409, "reservation_ended", detail, reservation_id=id_, outcome=hold.status)
        return hold

    def capture(self, hold: Hold, amount: int, debit_id: str, *, final: bool) -> int:
        """Charge a hold: what went back of it. Raises Refused."""
        if amount > hold.left:
            detail = f"The amount {amount} is more than the {hold.left} credits that are left of the hold."
            raise Refused(422, "exceeds_hold", detail, amount=amount, left=hold.left)
        paid, rest = _split(hold.slices, amount)
        hold.captured += amount
        hold.slices = rest
        if amount:
            self.debits[debit_id] = Debit(debit_id, paid, amount)
            self.debited += amount
        returned = 0
        if final or not hold.left:
            returned, hold.slices, hold.status = hold.left, [], "captured"
            self.put_back(rest)
        return returned

    def end(self, hold: Hold, status: str) -> int:
        """Return what is left of a hold: how much."""
        returned, rest = hold.left, hold.slices
        hold.slices, hold.status = [], status
        self.put_back(rest)
        return returned

    def charge(self, debit_id: str, amount: int) -> None:
        """Charge at once. Raises Refused."""
        self.debits[debit_id] = Debit(debit_id, self.take(amount), amount)
        self.debited += amount

    def refund(self, debit: Debit, amount: int) -> None:
        """Give a part of a charge back to the grants that paid."""
        paid, debit.slices = _split(debit.slices, amount)
        debit.refunded += amount
        self.refunded += amount
        self.put_back(paid)

    def pass_time(self, now: datetime) -> None:
        """Let go what has expired."""
        for grant in self.grants:
            if grant.expires_at is not None and grant.expires_at <= now:
                grant.over = True
        self.drop_spoiled()
        for hold in self.holds.values():
            if hold.status == "held" and not hold.generation and hold.expires_at <= now:
                self.end(hold, "expired")

    def drop_spoiled(self) -> None:
        """What is free of grants that are over is nobody's."""
        for grant in self.grants:
            if grant.over and grant.free:
                if grant.void:
                    self.voided += grant.free
                else:
                    self.expired += grant.free
                grant.free = 0


def grant_zone(grant: Grant) -> Any:
    """The zone of a grant's times."""
    return grant.granted_at.tzinfo


def _split(slices: list[Slice], amount: int) -> tuple[list[Slice], list[Slice]]:
    """The first `amount` of the parts, and the rest."""
    first, rest = [], []
    for part in slices:
        now = min(amount, part.amount)
        amount -= now
        if now:
            first.append(Slice(part.grant, now))
        if part.amount > now:
            rest.append(Slice(part.grant, part.amount - now))
    return first, rest
