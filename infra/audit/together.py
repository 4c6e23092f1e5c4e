"""Whether generations and the movements on other streams agree, event by event.

Everything that a generation's events say was held, charged, returned, stored or owed must have happened on the stream
that they name, at that moment, and nothing else may have happened in a generation's name: so all of its holds begin,
are lengthened and end together, and no charge is without its hold, its debit or its shortfall.

Both sides are added up as digests, with opposite signs, so that an organisation of any size takes no memory; only
where the sum is not 0 is the organisation read again to find where they differ.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

from infra.audit.expected import Stored
from infra.audit.reference import Json

Amounts = dict[str, int]


class Together:
    """Sees all events of one organisation, stream by stream, in the order of the streams' names.

    `cut`: the time of each partition's last event, where reading may end in the middle of a command; what happened
    at that time is left out. `exact`: keep every difference rather than their sum.
    """

    def __init__(self, cut: Mapping[int, datetime], *, exact: bool = False) -> None:
        self._cut = cut
        self._sum = 0
        self._exact: Counter[str] | None = Counter() if exact else None
        self._stream = ""
        self._holds: dict[str, Amounts] = {}  # of the generation of this stream, by stream
        self._own: set[str] = set()  # reservations of generations on the account of this stream
        self._late: set[tuple[str, datetime]] = set()  # generations that were settled late, and when

    @property
    def agrees(self) -> bool:
        """Whether both sides say the same, as far as they were seen."""
        return self._sum == 0

    def difference(self) -> tuple[str, str] | None:
        """What should be there and what is, of the first thing that differs; for one that is `exact`."""
        wrong = sorted((said, sign) for said, sign in (self._exact or {}).items() if sign)
        if not wrong:
            return None
        said, sign = wrong[0]
        return (said, "nothing of it on that stream") if sign > 0 else ("that the generation says so", said)

    def see(self, event: Stored) -> None:
        """Take one event. Raises KeyError or TypeError for malformed data."""
        if event.stream != self._stream:
            self._stream, self._holds, self._own = event.stream, {}, set()
        kind, data = event.type.rsplit(".", 1)[0], event.data
        start, _, name = event.stream.partition("/")
        match start:
            case "account":
                self._account(event, kind, data, name.rpartition(":")[2])
            case "generation":
                self._generation(event, kind, data)
            case "storage" | "group" | "budget" | "counted":
                self._use(event, kind, data)

    def _generation(self, event: Stored, kind: str, data: Json) -> None:
        before, after = self._holds, self._holds
        if "holds" in data:
            after = {held[1]: held[2] for held in data["holds"]}
        elif kind not in ("generation-started", "generation-refunded"):
            after = {}
        name = data["generation_id"]
        if kind in ("generation-held", "generation-extended"):
            for stream, amounts in after.items():
                self._add(event, 1, name, stream, "until", data["expires_at"])
                self._amounts(event, 1, name, stream, "held", _more(amounts, before.get(stream, {})))
        for stream in before.keys() - after.keys():
            self._add(event, 1, name, stream, "ended")
        self._holds = after
        if kind == "generation-refunded":
            self._refunded(event, name, data)
        elif "charges" in data:
            self._settled(event, name, data)
        if kind == "generation-settled-late":
            self._late.add((name, event.time))

    def _refunded(self, event: Stored, name: str, data: Json) -> None:
        for _, stream, amounts, _, _ in data["returned"]:
            self._amounts(event, 1, data["refund_id"], stream, "returned", amounts)
        for _, stream, amounts, _, _ in data.get("written_off", ()):
            self._amounts(event, 1, name, stream, "written off", amounts)

    def _settled(self, event: Stored, name: str, data: Json) -> None:
        for _, stream, amounts, _, _ in data["charges"]:
            self._amounts(event, 1, name, stream, "charged", amounts)
        for unit, amount in data["shortfall"].items():
            self._add(event, 1, name, unit, "owed", amount)
        for content in data["contents"]:
            self._add(event, 1, name, f"storage/{data['user']}", "stored", content)

    def _account(self, event: Stored, kind: str, data: Json, unit: str) -> None:
        name = data.get("reservation_id", "")
        if kind == "credits-reserved" and data.get("generation"):
            self._own.add(name)
            self._add(event, -1, name, event.stream, "until", data["expires_at"])
            self._amounts(event, -1, name, event.stream, "held", {unit: data["amount"]})
        elif name in self._own:
            if kind == "reservation-extended":
                self._add(event, -1, name, event.stream, "until", data["expires_at"])
                self._amounts(event, -1, name, event.stream, "held", {unit: data["grown"]})
                return
            if kind == "reservation-captured":
                self._amounts(event, -1, name, event.stream, "charged", {unit: data["amount"]})
                if not data["final"]:
                    return
            self._own.discard(name)
            self._add(event, -1, name, event.stream, "ended")
        elif kind == "credits-debited" and "." in data["debit_id"]:  # numbered after its generation
            self._amounts(event, -1, _before_dot(data["debit_id"]), event.stream, "charged", {unit: data["amount"]})
        elif kind == "credits-refunded" and "." in data["refund_id"]:
            self._amounts(event, -1, _before_dot(data["refund_id"]), event.stream, "returned", {unit: data["amount"]})
        elif kind == "shortfall-recorded":
            self._add(event, -1, data["generation_id"], unit, "owed", data["amount"])
        elif kind == "shortfall-written-off" and data.get("generation_id"):
            self._amounts(event, -1, data["generation_id"], event.stream, "written off", {unit: data["amount"]})

    def _use(self, event: Stored, kind: str, data: Json) -> None:
        name = data.get("generation_id") or data.get("ref") or ""
        if kind in ("use-held", "use-extended"):
            self._add(event, -1, name, event.stream, "until", data["expires_at"])
            self._amounts(event, -1, name, event.stream, "held", data.get("amounts") or data.get("grown") or {})
        elif kind == "use-settled":
            self._amounts(event, -1, name, event.stream, "charged", data["used"])
            if data["final"]:
                self._add(event, -1, name, event.stream, "ended")
        elif kind in ("use-released", "use-expired"):
            self._add(event, -1, name, event.stream, "ended")
        elif kind == "use-counted":  # on a group also by deductions and by what was made elsewhere
            if event.stream.startswith("budget/") or (name, event.time) in self._late:
                self._amounts(event, -1, name, event.stream, "charged", data["amounts"])
        elif kind == "use-given-back":
            self._amounts(event, -1, name, event.stream, "returned", data["amounts"])
        elif kind == "content-stored" and data["generation_id"]:
            self._add(event, -1, name, event.stream, "stored", [data["content_id"], data["bytes"]])

    def _amounts(self, event: Stored, sign: int, name: str, stream: str, what: str, amounts: Amounts) -> None:
        for unit, amount in amounts.items():
            if amount:
                self._add(event, sign, name, stream, what, f"{amount} {unit}")

    def _add(self, event: Stored, sign: int, *what: Any) -> None:
        if self._cut.get(event.partition) == event.time:
            return
        said = " ".join(map(str, (*what, "at", event.time.isoformat())))
        if self._exact is not None:
            self._exact[said] += sign
        else:
            self._sum += sign * int.from_bytes(blake2b(said.encode(), digest_size=16).digest())


def differing(events: Iterable[Stored], cut: Mapping[int, datetime]) -> tuple[str, str]:
    """See an organisation's events again to find what differs: what should be there, and what is."""
    exact = Together(cut, exact=True)
    for event in events:
        exact.see(event)
    return exact.difference() or ("both sides to say the same", "sums that differ")


def _more(amounts: Amounts, before: Amounts) -> Amounts:
    return {unit: amount - before.get(unit, 0) for unit, amount in amounts.items()}


def _before_dot(name: str) -> str:
    return name.rpartition(".")[0]
