"""The fake server's accounts and what each call does to them."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from scrip_client.testing.accounts import Account, Grant, Hold
from scrip_client.testing.refusals import Refused, exists, invalid, not_found

Body = dict[str, Any]
MAX_TTL_S = 604_800


class AccountBook:
    """One organisation's accounts, changed by one call after the other."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.accounts: dict[str, Account] = {}
        self._ids = count(1)
        self._position = 0

    def account(self, address: str) -> Account:
        """An account, open or not."""
        return self.accounts.setdefault(address, Account(address))

    def pass_time(self) -> None:
        """Let go what has expired by now."""
        for account in self.accounts.values():
            account.pass_time(self.now)

    def done(self, told: Body) -> Body:
        """An accepted command's answer, with its position."""
        self._position += 1
        return told | {"position": self.position}

    @property
    def position(self) -> str:
        """That of the last event."""
        return f"{self._position:020}"

    def new_id(self, kind: str) -> str:
        """An id of the server's own."""
        return f"{kind}-{next(self._ids)}"

    def grant(self, body: Body, address: str) -> Body:
        """Give credits."""
        amount = amount_of(body, "amount")
        expires = datetime.fromisoformat(body["expires_at"]) if body.get("expires_at") else None
        account = self.account(address)
        made = Grant(self.new_id("grant"), amount, amount, body["source"], body.get("priority", 100), self.now, expires)
        account.give(made)
        self._moved(account, "grant", amount)
        told = {"grant_id": made.id, "amount": amount, "status": "live", "effective_at": self.now.isoformat()}
        return self.done(told | {"expires_at": expires.isoformat() if expires else None})

    def void(self, _body: Body, address: str, id_: str) -> Body:
        """Take back what is free of a grant."""
        account = self.account(address)
        found = next((grant for grant in account.grants if grant.id == id_), None)
        if found is None or found.void:
            raise not_found("live grant", id_)
        found.void = True
        voided, found.free, found.over = found.free, 0, True
        account.voided += voided
        self._moved(account, "void", -voided)
        return self.done({"grant_id": id_, "voided": voided})

    def balance(self, _body: Body, address: str) -> Body:
        """What an account has."""
        account = self.account(address)
        names = ("granted", "debited", "refunded", "expired", "voided", "available", "reserved", "shortfall")
        grants = [
            {"grant_id": one.id, "amount": one.free, "source": one.source, "priority": one.priority}
            for one in account.grants
            if one.free
        ]
        told = {name: getattr(account, name) for name in names}
        told |= {"address": address, "exists": bool(account.grants), "transferred_in": 0, "transferred_out": 0}
        return told | {"grants": grants, "position": self.position}

    def reserve(self, body: Body, address: str) -> Body:
        """Hold credits."""
        account, amount = self.account(address), amount_of(body, "amount")
        id_ = body.get("id") or self.new_id("hold")
        if id_ in account.holds:
            raise exists("id", id_)
        until = self.now + timedelta(seconds=ttl_of(body))
        account.hold(Hold(id_, account.take(amount), self.now, until, amount))
        self._moved(account, "reserve", -amount)
        return self.done({"reservation_id": id_, "amount": amount, "expires_at": until.isoformat()})

    def capture(self, body: Body, address: str, id_: str) -> Body:
        """Charge a hold."""
        account = self.account(address)
        hold = account.open_hold(id_)
        amount, debit_id = body.get("amount", hold.left), self.new_id("debit")
        final = body.get("final", True) or amount == hold.left
        returned = account.capture(hold, amount, debit_id, final=final)
        self._moved(account, "capture", returned)
        told = {"debit_id": debit_id, "reservation_id": id_, "amount": amount, "returned": returned, "final": final}
        return self.done(told)

    def release(self, _body: Body, address: str, id_: str) -> Body:
        """Give a hold back."""
        account = self.account(address)
        returned = account.end(account.open_hold(id_), "released")
        self._moved(account, "release", returned)
        return self.done({"reservation_id": id_, "returned": returned})

    def extend_hold(self, body: Body, address: str, id_: str) -> Body:
        """Keep a hold, and hold more."""
        account, grow = self.account(address), body.get("grow", 0)
        hold = account.open_hold(id_)
        hold.slices += account.take(grow)
        hold.amount += grow
        hold.expires_at = max(hold.expires_at, self.now + timedelta(seconds=ttl_of(body)))
        told = {"reservation_id": id_, "expires_at": hold.expires_at.isoformat(), "grown": grow}
        return self.done(told)

    def debit(self, body: Body, address: str) -> Body:
        """Charge at once."""
        account, amount, id_ = self.account(address), amount_of(body, "amount"), self.new_id("debit")
        account.charge(id_, amount)
        self._moved(account, "debit", -amount)
        return self.done({"debit_id": id_, "amount": amount})

    def refund(self, body: Body, address: str, id_: str) -> Body:
        """Give a debit back."""
        account = self.account(address)
        found = account.debits.get(id_)
        if found is None:
            raise not_found("debit", id_)
        left = found.amount - found.refunded
        amount = body.get("amount", left)
        if not left or amount > left:
            raise Refused(409, "exceeds_debit", "The debit is refunded already.", amount=amount, left=left)
        account.refund(found, amount)
        self._moved(account, "refund", amount)
        return self.done({"refund_id": self.new_id("refund"), "debit_id": id_, "amount": amount})

    def transactions(self, _body: Body, address: str) -> list[Body]:
        """An account's movements, newest first."""
        return self.account(address).movements[::-1]

    def _moved(self, account: Account, kind: str, amount: int) -> None:
        account.movements.append(
            {
                "id": self.new_id("movement"),
                "type": kind,
                "amount": amount,
                "balance_after": account.available,
                "created_at": self.now.isoformat(),
            }
        )


def amount_of(body: Body, name: str) -> int:
    """An amount of a body. Raises Refused."""
    amount = body.get(name)
    if not isinstance(amount, int) or isinstance(amount, bool) or not 1 <= amount <= 10**12:
        raise invalid(name, "must be a whole number from 1 to 10^12")
    return amount


def ttl_of(body: Body) -> int:
    """How long to hold, in seconds. Raises Refused."""
    ttl = body.get("ttl_seconds", 900)
    if not isinstance(ttl, int) or not 1 <= ttl <= MAX_TTL_S:
        raise invalid("ttl_seconds", f"must be 1 to {MAX_TTL_S}", limit=MAX_TTL_S)
    return ttl
