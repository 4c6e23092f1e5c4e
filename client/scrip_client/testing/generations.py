"""The fake server's generations: assessed, held, settled or given back, over credits, tokens and storage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from scrip_client.testing.accounts import Account, Hold
from scrip_client.testing.prices import MB, Cost, by_usage
from scrip_client.testing.refusals import Refused, exists, sentence

REASONS = ("insufficient_storage", "insufficient_tokens", "insufficient_credits")
ACTIONS = {
    "storage": [("Delete Old Generations", "/generations"), ("Upgrade for More Storage", "/settings/subscription")],
    "tokens": [("Buy More Tokens", "/settings/tokens"), ("Upgrade Plan", "/settings/subscription")],
    "credits": [("Buy More Credits", "/settings/tokens"), ("Upgrade Plan", "/settings/subscription")],
}


@dataclass(slots=True)
class Shelf:
    """A user's storage, in bytes; contents by id."""

    limit: int = 1024 * MB
    held: int = 0
    contents: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """What is stored."""
        return sum(content["bytes"] for content in self.contents.values())


@dataclass(slots=True)
class Generation:
    """One generation; `holds` by unit."""

    id: str
    user: str
    asked: dict[str, Any]
    cost: Cost
    created_at: datetime
    expires_at: datetime
    holds: dict[str, tuple[Account, Hold]]
    bytes: int
    status: str = "held"
    outcome: str | None = None
    succeeded: int = 0
    charged: dict[str, int] = field(default_factory=lambda: {"credits": 0, "tokens": 0})
    refunded: dict[str, int] = field(default_factory=lambda: {"credits": 0, "tokens": 0})
    former: dict[str, int] = field(default_factory=dict)
    usd: Decimal = Decimal(0)
    contents: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether it still holds what it may take."""
        return self.status in ("held", "running")


def assess(cost: Cost, accounts: Mapping[str, Account], shelf: Shelf) -> list[dict[str, Any]]:
    """What each resource says to it."""
    checks = []
    if cost.bytes:
        free = max(0, shelf.limit - shelf.used - shelf.held)
        detail = (
            f"Not enough storage. This needs {_mb(cost.bytes)}, but only {_mb(free)} of {_mb(shelf.limit)} is free. "
            f"You're {_mb(max(0, cost.bytes - free))} short."
        )
        checks.append(_check("storage", cost.bytes, free, shelf.limit, detail))
    for unit, amount in (("tokens", cost.tokens), ("credits", cost.credits)):
        if amount:
            available = accounts[unit].available
            checks.append(_check(unit, amount, available, None, sentence(unit, amount, available)))
    return checks


def reason_of(checks: list[dict[str, Any]]) -> str:
    """`ok`, or the first reason of the contract's order."""
    failed = {check["reason"] for check in checks if not check["ok"]}
    return next((reason for reason in REASONS if reason in failed), "ok")


def refused(told: dict[str, Any], generation_id: str) -> Refused:
    """The refusal that an assessment is: the reason's numbers and sentence first, the whole beside them."""
    failed = [check for check in told["checks"] if not check["ok"]]
    failed.sort(key=lambda check: check["reason"] != told["reason"])
    numbers = {"required": failed[0]["needed"], "available": failed[0]["available"], "deficit": failed[0]["deficit"]}
    detail = " ".join(check["message"] for check in failed)
    return Refused(402, told["reason"], detail, **told, **numbers, generation_id=generation_id)


def actions_of(checks: list[dict[str, Any]], reason: str) -> list[dict[str, str]]:
    """Ways out, those for the reason first."""
    failed = sorted((check for check in checks if not check["ok"]), key=lambda check: check["reason"] != reason)
    found = dict.fromkeys(way for check in failed for way in ACTIONS[check["resource"]])
    return [{"label": label, "href": href} for label, href in found]


def must_be_open(generation: Generation) -> None:
    """Raises Refused for one that has ended."""
    if not generation.open:
        ended = generation.status.replace("_", " ")
        detail = f"The generation {generation.id} has already ended: it is {ended}."
        facts = {"generation_id": generation.id, "outcome": generation.status}
        raise Refused(409, "generation_ended", detail, **facts)


def confirm(
    generation: Generation, body: Mapping[str, Any], shelf: Shelf, everywhere: set[str], now: datetime
) -> dict[str, Any]:
    """Charge what it cost and store what it made; after expiry from what is available. Raises Refused."""
    late = generation.status == "expired"
    if not late:
        must_be_open(generation)
    contents = kept(body)
    for content in contents:
        if content["id"] in everywhere:
            raise exists("contents.id", content["id"])
    final = late or body.get("final", True)
    left = generation.cost.count - generation.succeeded
    succeeded = body.get("succeeded", left if final else 0)
    if succeeded > left:
        detail = f"succeeded: at most {left} of {generation.cost.count} are left."
        raise Refused(422, "invalid_settlement", detail, field="succeeded", limit=left)
    told = _Told(usage=body.get("usage", {}))
    for unit, (account, hold) in generation.holds.items():
        base = generation.former[unit] if late else hold.left
        amount = _amount(generation, body, unit, base, succeeded, left, final=final)
        if amount > base:
            told.uncharged[unit] = amount - base
        debit_id = f"{generation.id}.{len(account.debits) + 1}"
        if late:
            told.charged[unit] = _pay_late(account, unit, min(amount, base), debit_id, told)
        else:
            told.charged[unit] = min(amount, base)
            if returned := account.capture(hold, told.charged[unit], debit_id, final=final):
                told.returned[unit] = returned
        generation.charged[unit] += told.charged[unit]
    _store(generation, contents, shelf, now)
    generation.succeeded += succeeded
    if final:
        shelf.held -= 0 if late else generation.bytes
        generation.status = "settled_late" if late else "completed"
    else:
        generation.status = "running"
    return told.answer(generation, [content["id"] for content in contents])


def kept(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The contents that a settlement names."""
    contents: list[dict[str, Any]] = [body["content"]] if "content" in body else body.get("contents", [])
    return contents


def fail(generation: Generation, body: Mapping[str, Any], shelf: Shelf) -> dict[str, Any]:
    """Give everything back: the fake has no settlement policy. Raises Refused."""
    must_be_open(generation)
    told = _Told()
    for unit, (account, hold) in generation.holds.items():
        if returned := account.end(hold, "released"):
            told.returned[unit] = returned
    shelf.held -= generation.bytes
    generation.status, generation.outcome = "failed", body["outcome"]
    told.usage = body.get("usage", {})
    return told.answer(generation, []) | {"outcome": body["outcome"]}


def let_go(generation: Generation, status: str, shelf: Shelf) -> dict[str, int]:
    """Cancelled or expired: everything goes back."""
    returned = {}
    for unit, (account, hold) in generation.holds.items():
        generation.former[unit] = hold.left
        returned[unit] = account.end(hold, "released" if status == "cancelled" else "expired")
    shelf.held -= generation.bytes
    generation.status = status
    return returned


def _pay_late(account: Account, unit: str, amount: int, debit_id: str, told: "_Told") -> int:
    """Charge what is available; the rest is owed."""
    paid = min(amount, account.available)
    if paid:
        account.charge(debit_id, paid)
    if amount > paid:
        told.shortfall[unit] = amount - paid
        account.shortfall += amount - paid
    return paid


def _store(generation: Generation, contents: list[dict[str, Any]], shelf: Shelf, now: datetime) -> None:
    for content in contents:
        id_ = content["id"]
        stored = {"content_id": id_, "user_id": generation.user, "generation_id": generation.id}
        stored |= {"bytes": content["bytes"], "url": content.get("url"), "created_at": now.isoformat()}
        shelf.contents[id_] = stored
        generation.contents.append(id_)


def _amount(
    generation: Generation, body: Mapping[str, Any], unit: str, base: int, succeeded: int, left: int, *, final: bool
) -> int:
    """What it cost of one unit: as reported, by usage, or the share of the hold for those that succeeded."""
    actual = body.get("actual", {}).get(unit)
    if actual is not None:
        return int(actual)
    if unit == "credits" and "usage" in body:
        return by_usage(generation.cost.entry, body["usage"])
    if final and succeeded == left:
        return base
    return -(-base * succeeded // left) if left else 0


@dataclass(slots=True)
class _Told:
    charged: dict[str, int] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    uncharged: dict[str, int] = field(default_factory=dict)
    shortfall: dict[str, int] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)

    def answer(self, generation: Generation, contents: list[str]) -> dict[str, Any]:
        charged = {"credits": 0, "tokens": 0, "plan_tokens": 0, "usd": "0.00", "currency": "USD", **self.charged}
        return {
            "generation_id": generation.id,
            "status": generation.status,
            "charged": charged,
            "returned": self.returned,
            "uncharged": self.uncharged,
            "shortfall": self.shortfall,
            "contents": contents,
            "usage": self.usage,
        }


def _check(resource: str, needed: int, available: int, limit: int | None, message: str) -> dict[str, Any]:
    ok = needed <= available
    numbers = {"needed": needed, "available": available, "limit": limit, "deficit": max(0, needed - available)}
    return {
        "resource": resource,
        "subject": resource,
        "ok": ok,
        "reason": "ok" if ok else f"insufficient_{resource}",
        **numbers,
        "message": "ok" if ok else message,
        "formatted": {name: str(value) for name, value in numbers.items()},
    }


def _mb(size: int) -> str:
    return f"{size // MB} MB" if size >= MB else f"{size} B"
