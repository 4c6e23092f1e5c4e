"""What each stored event of an account means and which rules it must keep, read from the JSON alone."""

from collections.abc import Callable
from datetime import datetime

from infra.audit.reference import (
    BELOW_ZERO,
    CYCLE,
    Account,
    Allowance,
    Broken,
    Hold,
    Json,
    amount_of,
    lot_of,
    moment,
    must,
)

# What comes back to several grants is ended one by one: nothing else may happen while a voided one has something free.
_ENDS_GRANTS = ("grant-voided.v1", "grant-expired.v1")


def apply(account: Account, type_: str, data: Json, time: datetime) -> None:
    """Fold one event of the stored type `type_`, with what its bytes have under `data`, stored at `time`.

    Raises Broken where a rule of the ledger does not hold, KeyError, TypeError or ValueError for malformed data.
    """
    must(type_ in _EVENTS, f"an account has no events of the type {type_}")
    must(not account.to_void or type_ in _ENDS_GRANTS, f"{account.to_void} of a voided grant can be spent")
    below_before = account.owed + account.held_below_zero
    _EVENTS[type_](account, data, time)
    account.check(below_before)


def _reserved(account: Account, data: Json, time: datetime) -> None:
    name, ends = data["reservation_id"], moment(data["expires_at"])
    must(name not in account.holds and name not in account.ended, f"the reservation {name} exists")
    must(ends > time and not account.frozen and not account.closed, "a hold that must not be")
    hold = account.holds[name] = Hold(ends, generation=data.get("generation", False))
    hold.slices = account.take(data["slices"], held=True)
    must(hold.amount == data["amount"], "slices do not add up")
    account.held += hold.amount


def _extended(account: Account, data: Json, time: datetime) -> None:
    hold, ends = account.hold(data["reservation_id"]), moment(data["expires_at"])
    must(hold.expires_at > time and ends >= hold.expires_at, "extended after its end, or to a sooner one")
    must(amount_of(data["slices"]) == data["grown"], "slices do not add up")
    hold.expires_at = ends
    hold.slices += account.take(data["slices"], held=True)
    account.held += data["grown"]


def _captured(account: Account, data: Json, time: datetime) -> None:
    hold = account.hold(data["reservation_id"])
    must(hold.expires_at > time, "captured after its end")
    must(amount_of(data["slices"]) == data["amount"], "slices do not add up")
    for part in data["slices"]:
        lot, amount = lot_of(part), part[1]
        hold.charge(lot, amount)
        if lot[3] == BELOW_ZERO:
            account.held_below_zero -= amount
            account.owed += amount
    account.held -= data["amount"]
    account.charge(data["debit_id"], data["amount"])
    if data["final"]:
        account.end(data["reservation_id"], data["returned"])
        if hold.generation:  # one that goes on may hold more under its id
            account.ended.discard(data["reservation_id"])
    else:
        must(bool(hold.slices) and not data["returned"], "nothing is left of a hold that goes on")


def _released(account: Account, data: Json, time: datetime) -> None:
    must(account.hold(data["reservation_id"]).expires_at > time, "released after its end")
    must(account.end(data["reservation_id"], data["returned"]) == data["amount"], "slices do not add up")


def _expired(account: Account, data: Json, time: datetime) -> None:
    must(account.hold(data["reservation_id"]).expires_at <= time, "expired before its end")
    must(account.end(data["reservation_id"], data["returned"]) == data["amount"], "slices do not add up")


def _debited(account: Account, data: Json, _time: datetime) -> None:
    must(not account.frozen and not account.closed, "a debit that must not be")
    must(amount_of(data["slices"]) == data["amount"], "slices do not add up")
    account.take(data["slices"], held=False)
    account.charge(data["debit_id"], data["amount"])


def _refunded(account: Account, data: Json, _time: datetime) -> None:
    must(data["debit_id"] in account.debits, f"the debit {data['debit_id']} is unknown in this account")
    debit = account.debits[data["debit_id"]]
    debit[1] += data["amount"]
    must(data["amount"] > 0 and debit[1] <= debit[0], f"{debit[1]} refunded of {debit[0]}")
    must(amount_of(data["returned"]) + data["owed_less"] == data["amount"], "slices do not add up")
    account.totals["refunded"] += data["amount"]
    account.repay(data["owed_less"])
    for part in data["returned"]:
        account.put(lot_of(part), part[1])


def _granted(account: Account, data: Json, _time: datetime) -> None:
    part = data["grant"]
    must(part[1] > 0, f"a grant of {part[1]}")
    account.totals["granted"] += part[1]
    must(data["repaid"] == min(account.owed, part[1]), f"{data['repaid']} of a debt of {account.owed} repaid")
    account.repay(data["repaid"])
    account.put(lot_of(part), part[1] - data["repaid"])


def _scheduled(_account: Account, data: Json, time: datetime) -> None:
    must(moment(data["effective_at"]) > time, "scheduled for a time that has passed")


def _grant_expired(account: Account, data: Json, time: datetime) -> None:
    lot, amount = lot_of(data["grant"]), data["grant"][1]
    must(lot[1] <= time and amount > 0, f"grant {lot[3]} expired before its end")
    account.lower(lot, amount)
    account.totals["expired"] += amount


def _grant_voided(account: Account, data: Json, _time: datetime) -> None:
    account.void(data["grant"][0])
    if data["effective"]:
        account.lower(lot_of(data["grant"]), data["grant"][1])
        account.totals["voided"] += data["grant"][1]


def _went(account: Account, data: Json, _time: datetime) -> None:
    must(not account.frozen and not account.closed, "a transfer that must not be")
    slices = data["slices"]
    must(amount_of(slices) == data["amount"] and all(part[0] != BELOW_ZERO for part in slices), "slices do not add up")
    account.take(slices, held=False)
    account.totals["transferred_out"] += data["amount"]
    must(account.available >= 0, "a credit limit was given away")


def _came(account: Account, data: Json, _time: datetime) -> None:
    must(amount_of(data["slices"]) + data["repaid"] == data["amount"], "slices do not add up")
    must(data["repaid"] == min(account.owed, data["amount"]), f"{data['repaid']} of a debt of {account.owed} repaid")
    account.totals["transferred_in"] += data["amount"]
    account.repay(data["repaid"])
    for part in data["slices"]:
        account.put(lot_of(part), part[1])


def _configured(account: Account, data: Json, _time: datetime) -> None:
    must(not (data["closed"] and account.holds), "closed with open reservations")
    account.frozen, account.closed, account.credit_limit = data["frozen"], data["closed"], data["credit_limit"]


def _allowed(account: Account, data: Json, time: datetime) -> None:
    before, now = account.allowance, Allowance(data)
    must(now.amount >= 0 and now.cycle == max(0, (time - now.anchor) // CYCLE), f"cycle {now.cycle} is not the current")
    if before is not None and (before.anchor, before.cycle) == (now.anchor, now.cycle):
        now.granted = before.granted
    account.allowance = now


def _allowance_granted(account: Account, data: Json, time: datetime) -> None:
    allowance = account.allowance
    if allowance is None:
        raise Broken("an allowance that was never promised")
    must(data["cycle"] >= allowance.cycle, f"cycle {data['cycle']} is over")
    if data["cycle"] > allowance.cycle:
        allowance.cycle, allowance.granted = data["cycle"], 0
    start = allowance.ends - CYCLE
    must(start <= time < allowance.ends and start < allowance.until, f"cycle {allowance.cycle} is not the current")
    must(moment(data["grant"][4]) == allowance.ends, "the allowance does not end with its cycle")
    allowance.granted += data["grant"][1]
    must(allowance.granted <= allowance.amount, f"{allowance.granted} granted of an allowance of {allowance.amount}")
    _granted(account, data, time)


def _short(account: Account, data: Json, _time: datetime) -> None:
    must(data["amount"] > 0, f"a shortfall of {data['amount']}")
    account.shortfall += data["amount"]


def _collected(account: Account, data: Json, _time: datetime) -> None:
    must(amount_of(data["slices"]) == data["amount"], "slices do not add up")
    must(data["amount"] <= account.shortfall, f"{data['amount']} collected of a shortfall of {account.shortfall}")
    account.take(data["slices"], held=False)
    account.charge(data["debit_id"], data["amount"])
    account.shortfall -= data["amount"]


def _written_off(account: Account, data: Json, _time: datetime) -> None:
    must(0 < data["amount"] <= account.shortfall, f"{data['amount']} written off of {account.shortfall}")
    account.shortfall -= data["amount"]


_EVENTS: dict[str, Callable[[Account, Json, datetime], None]] = {
    "credits-reserved.v1": _reserved,
    "reservation-extended.v1": _extended,
    "reservation-captured.v1": _captured,
    "reservation-released.v1": _released,
    "reservation-expired.v1": _expired,
    "credits-debited.v1": _debited,
    "credits-refunded.v1": _refunded,
    "credits-granted.v1": _granted,
    "grant-scheduled.v1": _scheduled,
    "grant-expired.v1": _grant_expired,
    "grant-voided.v1": _grant_voided,
    "credits-transferred-out.v1": _went,
    "credits-transferred-in.v1": _came,
    "account-configured.v1": _configured,
    "allowance-set.v1": _allowed,
    "allowance-granted.v1": _allowance_granted,
    "shortfall-recorded.v1": _short,
    "shortfall-collected.v1": _collected,
    "shortfall-written-off.v1": _written_off,
}


_TAGS = {
    **dict.fromkeys(("reservation-captured", "credits-debited", "credits-refunded"), ("debit", "debit_id")),
    "shortfall-collected": ("debit", "debit_id"),
    "shortfall-recorded": ("reservation", "generation_id"),
    "content-stored": ("content", "content_id"),
    "content-deleted": ("content", "content_id"),
    "cost-recorded": ("cost", "cost_id"),
    "purchase-completed": ("payment", "payment_ref"),
}


def tag_of(type_: str, data: Json) -> str | None:
    """The tag that an event's row must carry: what the event is about."""
    kind = type_.rsplit(".", 1)[0]
    if kind in _TAGS:
        prefix, field = _TAGS[kind]
        return f"{prefix}/{data[field]}"
    if kind == "shortfall-written-off" and data.get("generation_id"):
        return f"reservation/{data['generation_id']}"
    if "reservation_id" in data:
        return f"reservation/{data['reservation_id']}"
    if "transfer_id" in data:
        return f"transfer/{data['transfer_id']}"
    if "grant" in data:
        return f"payment/{data['external_ref']}" if data.get("external_ref") else f"grant/{data['grant'][0]}"
    return None
