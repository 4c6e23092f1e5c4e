"""A second implementation of an account: plain dicts and integers, no code shared with the ledger's own rules."""

from bisect import bisect_left, insort
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
Lot = tuple[int, datetime, datetime, str]  # priority, end, time of grant, grant: the order in which credits burn

NEVER = datetime.max.replace(tzinfo=UTC)
CYCLE = timedelta(days=30)
BELOW_ZERO = ""  # in place of the grant, in a slice that no grant covers
TOTALS = ("granted", "debited", "refunded", "expired", "voided", "transferred_in", "transferred_out")


class Broken(Exception):
    """A rule of the ledger does not hold after an event."""


class Hold:
    """An open reservation: its slices in the order in which they are charged."""

    def __init__(self, expires_at: datetime, *, generation: bool = False) -> None:
        self.expires_at = expires_at
        self.generation = generation
        self.slices: list[list[Any]] = []  # [lot, amount]

    @property
    def amount(self) -> int:
        return sum(amount for _, amount in self.slices)

    def charge(self, lot: Lot, amount: int) -> None:
        """Take `amount` of `lot`, which must be what comes first; a hold that grew may have it in several slices."""
        while amount:
            must(bool(self.slices) and self.slices[0][0] == lot, "not what was held is charged")
            part = min(amount, self.slices[0][1])
            self.slices[0][1] -= part
            amount -= part
            if not self.slices[0][1]:
                del self.slices[0]


class Allowance:
    """What a plan grants in each cycle; `granted`: in the current one."""

    def __init__(self, data: Json) -> None:
        self.amount: int = data["amount"]
        self.anchor = moment(data["anchor"])
        self.cycle: int = data["cycle"]
        self.until = moment(data["until"]) if data["until"] else NEVER
        self.granted = 0

    @property
    def ends(self) -> datetime:
        return self.anchor + (self.cycle + 1) * CYCLE


class Account:
    """One account of one organisation, as the log says."""

    def __init__(self) -> None:
        self.totals = dict.fromkeys(TOTALS, 0)
        self.free: dict[Lot, int] = {}
        self.order: list[Lot] = []  # the keys of `free`, sorted
        self.free_sum = 0
        self.held = 0
        self.held_below_zero = 0
        self.owed = 0
        self.holds: dict[str, Hold] = {}
        self.ended: set[str] = set()
        self.debits: dict[str, list[int]] = {}  # amount, refunded
        self.frozen = False
        self.closed = False
        self.credit_limit = 0
        self.shortfall = 0
        self.allowance: Allowance | None = None
        self.voided: set[str] = set()  # grants
        self.to_void = 0  # what is free of them, until it is taken back

    @property
    def available(self) -> int:
        return self.free_sum - self.owed - self.held_below_zero

    def check(self, below_before: int) -> None:
        """What holds after every event. `below_before`: how far below zero the account was before it."""
        totals = self.totals
        came = totals["granted"] + totals["transferred_in"]
        went = totals["debited"] - totals["refunded"] + totals["expired"] + totals["voided"] + totals["transferred_out"]
        must(self.available + self.held + went == came, f"{self.available} + {self.held} + {went} is not {came}")
        below = self.owed + self.held_below_zero
        amounts = (self.free_sum, self.held, self.owed, self.held_below_zero, self.shortfall)
        must(min(amounts) >= 0, "an amount is below zero")
        must(below <= max(below_before, self.credit_limit), f"{below} below zero, the limit is {self.credit_limit}")

    def take(self, slices: list[Any], *, held: bool) -> list[list[Any]]:
        """Take slices from what is free; they must be those that burn first."""
        taken = []
        for part in slices:
            lot, amount = lot_of(part), part[1]
            must(amount > 0, f"a slice of {amount}")
            if lot[3] == BELOW_ZERO:
                must(not self.order, "below zero although there are free credits")
                if held:
                    self.held_below_zero += amount
                else:
                    self.owed += amount
            else:
                must(bool(self.order) and self.order[0] == lot, f"grant {lot[3]} is not the one that burns first")
                self.lower(lot, amount)
            taken.append([lot, amount])
        return taken

    def lower(self, lot: Lot, amount: int) -> None:
        left = self.free.get(lot, 0) - amount
        must(left >= 0, f"grant {lot[3]} would have {left} free")
        self.free_sum -= amount
        if lot[3] in self.voided:
            self.to_void -= amount
        if left:
            self.free[lot] = left
        elif lot in self.free:
            del self.free[lot]
            del self.order[bisect_left(self.order, lot)]

    def put(self, lot: Lot, amount: int) -> None:
        if not amount:
            return
        if lot not in self.free:
            insort(self.order, lot)
        self.free[lot] = self.free.get(lot, 0) + amount
        self.free_sum += amount
        if lot[3] in self.voided:
            self.to_void += amount

    def void(self, grant: str) -> None:
        """A grant is taken back: what is free of it now, and whatever comes back to it."""
        if grant not in self.voided:
            self.voided.add(grant)
            self.to_void += sum(amount for lot, amount in self.free.items() if lot[3] == grant)

    def hold(self, reservation_id: str) -> Hold:
        """An open hold. Raises Broken for one that never was or has ended."""
        must(reservation_id not in self.ended, f"the reservation {reservation_id} had ended")
        must(reservation_id in self.holds, f"the reservation {reservation_id} is unknown")
        return self.holds[reservation_id]

    def end(self, reservation_id: str, returned: list[Any]) -> int:
        """End a hold; what comes back must be all that is left of it. Returns how much that is."""
        hold = self.hold(reservation_id)
        came_back = summed([[lot_of(part), part[1]] for part in returned])
        must(summed(hold.slices) == came_back, "not what was held comes back")
        for lot, amount in hold.slices:
            if lot[3] == BELOW_ZERO:
                self.held_below_zero -= amount
            else:
                self.put(lot, amount)
        left = hold.amount
        self.held -= left
        del self.holds[reservation_id]
        self.ended.add(reservation_id)
        return left

    def charge(self, debit_id: str, amount: int) -> None:
        must(amount > 0 and debit_id not in self.debits, f"the debit {debit_id} of {amount}")
        self.debits[debit_id] = [amount, 0]
        self.totals["debited"] += amount

    def repay(self, repaid: int) -> None:
        """Incoming credits lower a debt."""
        must(0 <= repaid <= self.owed, f"{repaid} of a debt of {self.owed} repaid")
        self.owed -= repaid


def moment(text: str) -> datetime:
    """A time as the events write it."""
    return datetime.fromisoformat(text)


def lot_of(part: list[Any]) -> Lot:
    """What a slice is a part of. A slice is written as grant, amount, source, priority, end, time of grant."""
    return part[3], moment(part[4]) if part[4] else NEVER, moment(part[5]), part[0]


def summed(slices: list[list[Any]]) -> dict[Lot, int]:
    """Slices added up by lot."""
    total: dict[Lot, int] = {}
    for lot, amount in slices:
        total[lot] = total.get(lot, 0) + amount
    return total


def amount_of(slices: list[Any]) -> int:
    """The sum of slices as the events write them."""
    return sum(part[1] for part in slices)


def must(holds: bool, otherwise: str) -> None:
    """Raise Broken, with the reason, where a rule does not hold."""
    if not holds:
        raise Broken(otherwise)
