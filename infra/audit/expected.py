"""The rows that every read model must have for one account, derived once more from the JSON of its events."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from infra.audit.reference import BELOW_ZERO, TOTALS, Account, Json, amount_of, moment

Row = dict[str, Any]

_WORK = ("operation", "provider", "model")


class Stored(NamedTuple):
    """One event: what its row says and what its bytes have under `data`."""

    partition: int
    position: int
    org: str
    stream: str
    version: int
    type: str
    tag: str | None
    actor: str
    time: datetime
    data: Json


class Expected:
    """Rows of one account, by table. Feed every event to `apply`, in order, after the account has taken it."""

    def __init__(self, org: str, address: str) -> None:
        self.org = org
        self.address = address
        self.grants: dict[str, Row] = {}
        self.reservations: dict[str, Row] = {}
        self.debits: dict[str, Row] = {}
        self.transactions: list[Row] = []
        self._available = 0
        owner_type, rest = address.split(":", 1)
        owner_id, unit = rest.rsplit(":", 1)
        self._owner = {"owner_type": owner_type, "owner_id": owner_id, "unit": unit}
        self._user = owner_id if owner_type == "user" else None
        self.column = unit if unit in ("credits", "tokens") else "other"  # of the read model `usage`
        if owner_type == "org" and unit.startswith("tokens."):
            self.column = "plan_tokens"

    def balance(self, account: Account, last: Stored) -> Row:
        return {
            "org": self.org,
            "address": self.address,
            **self._owner,
            **{name: account.totals[name] for name in TOTALS},
            "reserved": account.held,
            "available": account.available,
            "frozen": account.frozen,
            "closed": account.closed,
            "credit_limit": account.credit_limit,
            "shortfall": account.shortfall,
            "allowance": account.allowance.amount if account.allowance else 0,
            "allowance_granted": account.allowance.granted if account.allowance else 0,
            "allowance_cycle": account.allowance.cycle if account.allowance else None,
            "refresh_at": account.allowance.ends if account.allowance else None,
            "version": last.version,
            "position": last.position,
            "updated_at": last.time,
        }

    def apply(self, event: Stored, available: int) -> None:
        """Take one event; `available` is the account's after it."""
        kind = event.type.rsplit(".", 1)[0]
        self._reservation(kind, event)
        self._debit(kind, event)
        self._grants(kind, event)
        self._transactions(kind, event)
        if self._available != available:
            raise ValueError(f"the movements add up to {self._available}, the account has {available}")

    def _reservation(self, kind: str, event: Stored) -> None:
        data = event.data
        if kind == "credits-reserved" and data["reservation_id"] in self.reservations:  # a generation that goes on
            row = self.reservations[data["reservation_id"]]
            row |= {"status": "held", "ended_at": None, "position": event.position}
            row["amount"] += data["amount"]
            row["left"] += data["amount"]
            row["expires_at"] = moment(data["expires_at"])
        elif kind == "credits-reserved":
            self.reservations[data["reservation_id"]] = {
                "org": self.org,
                "id": data["reservation_id"],
                "address": self.address,
                "status": "held",
                "amount": data["amount"],
                "captured": 0,
                "returned": 0,
                "left": data["amount"],
                "expires_at": moment(data["expires_at"]),
                "item": data["item"],
                "price_version": data["price_version"],
                "generation": data.get("generation", False),
                "sealed": data["sealed"],
                "created_at": event.time,
                "created_position": event.position,
                "ended_at": None,
                "position": event.position,
                **dict(zip(_WORK, data.get("work") or (None,) * 3, strict=True)),
            }
        elif kind.startswith("reservation-"):
            row = self.reservations[data["reservation_id"]]
            row["position"] = event.position
            if kind == "reservation-extended":
                row["amount"] += data["grown"]
                row["left"] += data["grown"]
                row["expires_at"] = moment(data["expires_at"])
                return
            if kind == "reservation-captured":
                row["captured"] += data["amount"]
                row["left"] -= data["amount"]
                if not data["final"]:
                    return
            row["status"] = kind.removeprefix("reservation-")
            row["returned"], row["left"] = row["returned"] + row["left"], 0
            row["ended_at"] = event.time

    def _debit(self, kind: str, event: Stored) -> None:
        data = event.data
        if kind == "credits-refunded":
            self.debits[data["debit_id"]]["refunded"] += data["amount"]
        elif kind in ("credits-debited", "reservation-captured", "shortfall-collected"):
            hold = self.reservations.get(data.get("reservation_id", ""), data)
            self.debits[data["debit_id"]] = {
                "org": self.org,
                "id": data["debit_id"],
                "address": self.address,
                "amount": data["amount"],
                "refunded": 0,
                "reservation_id": data.get("reservation_id"),
                "item": hold.get("item"),
                "price_version": hold.get("price_version"),
                "sealed": data.get("sealed"),
                "created_at": event.time,
                "position": event.position,
                "user_id": data.get("user") or self._user,
                **self._work(kind, event, hold),
            }

    def _work(self, kind: str, event: Stored, hold: Row) -> Row:
        """What a charge was for: what was priced, else how it came; of a generation's, the generation says it."""
        captured = kind == "reservation-captured"
        if generation_of(kind, event.data, hold if captured else None) is not None:
            return dict.fromkeys(_WORK)
        work = dict(zip(_WORK, event.data.get("work") or [hold.get(name) for name in _WORK], strict=True))
        if work["operation"] is None:
            work["operation"] = "reservation" if captured else self._way(kind, event.actor)
        return work

    def _way(self, kind: str, actor: str) -> str:
        if kind == "shortfall-collected":
            return "shortfall"
        if self.column == "plan_tokens":
            return "deduction"
        if actor.startswith("usage:scrip-import:"):
            return "import"
        return "metered" if actor.startswith("usage:") else "debit"

    def _grants(self, kind: str, event: Stored) -> None:
        data = event.data
        moves = {
            "credits-reserved": ("slices", "remaining", "reserved"),
            "reservation-extended": ("slices", "remaining", "reserved"),
            "reservation-captured": ("slices", "reserved", "spent"),
            "reservation-released": ("returned", "reserved", "remaining"),
            "reservation-expired": ("returned", "reserved", "remaining"),
            "credits-debited": ("slices", "remaining", "spent"),
            "shortfall-collected": ("slices", "remaining", "spent"),
            "credits-transferred-out": ("slices", "remaining", "transferred_out"),
        }
        if kind in moves:
            slices, source, target = moves[kind]
            self._move(data[slices], source, target, event)
        if kind == "reservation-captured":
            self._move(data["returned"], "reserved", "remaining", event)
        if kind in ("grant-expired", "grant-voided") and data.get("effective", True):
            self._move([data["grant"]], "remaining", kind.removeprefix("grant-"), event)
        if kind == "grant-voided":
            self._grant(data["grant"], event)["status"] = "voided"
        if kind in ("credits-granted", "allowance-granted", "grant-scheduled"):
            self._arrive(kind, data, event)
        if kind in ("credits-refunded", "credits-transferred-in"):
            for part in data.get("slices") or data.get("returned") or ():
                row = self._grant(part, event)
                row["expires_at"] = moment(part[4]) if part[4] else None
                old_charge = kind == "credits-refunded" and part[0] != data["refund_id"]
                row["spent" if old_charge else "amount"] += -part[1] if old_charge else part[1]
                row["remaining"] += part[1]
                _state(row)

    def _arrive(self, kind: str, data: Json, event: Stored) -> None:
        row = self._grant(data["grant"], event)
        row["external_ref"], row["sealed"] = data.get("external_ref"), data.get("sealed")
        if data.get("paid"):
            row["paid_amount"], row["paid_currency"] = data["paid"]
        amount = data["grant"][1]
        if kind == "grant-scheduled":
            row |= {"status": "scheduled", "amount": amount, "effective_at": moment(data["effective_at"])}
            return
        if row["status"] == "scheduled":
            row |= {"status": "live", "amount": 0}
        row["amount"] += amount
        row["remaining"] += amount - data["repaid"]
        row["spent"] += data["repaid"]
        _state(row)

    def _move(self, slices: list[Any], source: str, target: str, event: Stored) -> None:
        for part in slices:
            if part[0] != BELOW_ZERO:
                row = self._grant(part, event)
                row[source] -= part[1]
                row[target] += part[1]
                _state(row)

    def _grant(self, part: list[Any], event: Stored) -> Row:
        row = self.grants.get(part[0])
        if row is None:
            since = moment(part[5])
            row = self.grants[part[0]] = {
                "org": self.org,
                "address": self.address,
                "id": part[0],
                "source": part[2],
                "priority": part[3],
                "status": "live",
                **dict.fromkeys(("amount", "remaining", "reserved", "spent"), 0),
                **dict.fromkeys(("expired", "voided", "transferred_out"), 0),
                "granted_at": since,
                "effective_at": since,
                "expires_at": moment(part[4]) if part[4] else None,
                **dict.fromkeys(("external_ref", "paid_amount", "paid_currency", "sealed")),
            }
        row["position"] = event.position
        return row

    def _transactions(self, kind: str, event: Stored) -> None:
        hold = self.reservations.get(event.data.get("reservation_id", ""))
        item = hold["item"] if hold else event.data.get("item")
        generation = generation_of(kind, event.data, hold)
        for n, (type_, amount, ids, sealed) in enumerate(movements(kind, event.data)):
            self._available += amount
            self.transactions.append(
                {
                    "org": self.org,
                    "address": self.address,
                    "position": event.position,
                    "n": n,
                    "id": f"{event.position:016d}-{n}",
                    "type": type_,
                    "amount": amount,
                    "balance_after": self._available,
                    **dict.fromkeys(("grant_id", "reservation_id", "debit_id", "refund_id", "transfer_id")),
                    "counterparty": None,
                    "generation_id": generation,
                    **ids,
                    "item": item,
                    "actor": event.actor,
                    "sealed": sealed,
                    "created_at": event.time,
                }
            )


def _state(row: Row) -> None:
    if row["status"] != "voided":
        used_up = "expired" if row["expired"] else "spent"
        row["status"] = "live" if row["remaining"] or row["reserved"] else used_up


def generation_of(kind: str, data: Json, hold: dict[str, Any] | None) -> str | None:
    """The generation that a movement is about: what is charged beside its holds is numbered after it."""
    if hold is not None:
        return str(hold["id"]) if hold["generation"] else None
    if kind not in ("credits-debited", "credits-refunded") or data["debit_id"].startswith("shortfall."):
        return None
    return data["debit_id"].rpartition(".")[0] or None


def movements(  # noqa: C901 - one case for each event
    kind: str, data: Json
) -> Iterator[tuple[str, int, Json, str | None]]:
    """Type, signed amount, the ids involved and the sealed text of each movement of available credits."""
    names = ("reservation_id", "debit_id", "refund_id", "transfer_id")
    ids = {name: data[name] for name in names if name in data}
    sealed = data.get("sealed")
    match kind:
        case "credits-reserved" | "credits-debited":
            yield kind.removeprefix("credits-"), -data["amount"], ids, sealed
        case "reservation-extended" if data["grown"]:
            yield "reserved", -data["grown"], ids, None
        case "reservation-captured":
            yield "returned", data["amount"] + amount_of(data["returned"]), ids, None
            yield "captured", -data["amount"], ids, sealed
        case "reservation-released" | "reservation-expired":
            yield kind.removeprefix("reservation-"), data["amount"], ids, sealed
        case "shortfall-collected":
            yield "shortfall_collected", -data["amount"], ids, None
        case "credits-granted" | "allowance-granted":
            yield "granted", data["grant"][1], {"grant_id": data["grant"][0]}, sealed
        case "grant-expired" | "grant-voided" if data.get("effective", True) and data["grant"][1]:
            yield kind.replace("-", "_"), -data["grant"][1], {"grant_id": data["grant"][0]}, sealed
        case "credits-refunded":
            yield "refunded", data["amount"], ids, sealed
        case "credits-transferred-out":
            yield "transferred_out", -data["amount"], ids | {"counterparty": data["to"]}, sealed
        case "credits-transferred-in":
            yield "transferred_in", data["amount"], ids | {"counterparty": data["sender"]}, None
