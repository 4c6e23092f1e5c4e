"""The fake server's main flow: check, hold everything or nothing, settle, give back."""

from collections.abc import Mapping
from datetime import timedelta

from scrip_client.testing import generations as gen
from scrip_client.testing.accounts import Account, Hold
from scrip_client.testing.ledger import AccountBook, Body, ttl_of
from scrip_client.testing.prices import Cost, Entry, cost_of, credits_of, find
from scrip_client.testing.refusals import Refused, exists, not_found
from scrip_client.testing.shown import holds_of, quoted, row_of


class Ledger(AccountBook):
    """The accounts, with the generations that hold parts of them."""

    def __init__(self) -> None:
        super().__init__()
        self.prices: list[Entry] = []
        self.generations: dict[str, gen.Generation] = {}
        self.shelves: dict[str, gen.Shelf] = {}

    def shelf(self, user: str) -> gen.Shelf:
        """A user's storage."""
        return self.shelves.setdefault(user, gen.Shelf())

    def pass_time(self) -> None:
        """Let go what has expired by now."""
        super().pass_time()
        for one in self.generations.values():
            if one.open and one.expires_at <= self.now:
                gen.let_go(one, "expired", self.shelf(one.user))
                one.history.append("expired")

    def quote(self, body: Body) -> Body:
        """A price."""
        entry = find(self.prices, body)
        if entry is None:
            raise Refused(422, "unpriced", "There is no price for this.")
        return {
            "credits": credits_of(entry, body),
            "tokens": entry.tokens,
            "usd": None if entry.usd is None else f"{entry.usd:.2f}",
            "currency": None if entry.usd is None else "USD",
            "item": entry.label,
            "price_version": 1,
        }

    def check(self, body: Body) -> Body:
        """May it run?"""
        return self._assess(body)[0] | {"position": self.position}

    def create(self, body: Body) -> Body:
        """Hold everything or nothing."""
        id_ = body.get("id") or self.new_id("gen")
        if id_ in self.generations:
            raise exists("id", id_)
        user, until = body["user_id"], self.now + timedelta(seconds=ttl_of(body))
        told, cost = self._assess(body)
        if not told["can_proceed"]:
            raise gen.refused(told, id_)
        holds: dict[str, tuple[Account, Hold]] = {}
        for unit, amount in (("credits", cost.credits), ("tokens", cost.tokens)):
            if amount:
                account = self.account(f"user:{user}:{unit}")
                hold = Hold(id_, account.take(amount), self.now, until, amount, generation=True)
                account.hold(hold)
                holds[unit] = account, hold
        self.shelf(user).held += cost.bytes
        made = gen.Generation(id_, user, body, cost, self.now, until, holds, cost.bytes, history=["held"])
        self.generations[id_] = made
        ids = {"generation_id": id_, "transaction_id": id_, "status": "held", "quote": told["quote"]}
        return self.done(ids | {"holds": holds_of(made), "expires_at": until.isoformat()})

    def start(self, _body: Body, id_: str) -> Body:
        """A worker begins."""
        one = self._open(id_)
        if one.status == "running":
            detail = f"A worker has started the generation {id_}; only its outcome ends it now."
            raise Refused(409, "already_started", detail, generation_id=id_)
        one.status = "running"
        return self._happened(one, {"generation_id": id_, "status": one.status})

    def cancel(self, _body: Body, id_: str) -> Body:
        """Call it off."""
        one = self._open(id_)
        if one.status == "running":
            raise Refused(409, "already_started", f"A worker has started the generation {id_}.", generation_id=id_)
        returned = gen.let_go(one, "cancelled", self.shelf(one.user))
        return self._happened(one, {"generation_id": id_, "status": one.status, "returned": returned})

    def extend(self, body: Body, id_: str) -> Body:
        """Keep what is held."""
        one = self._open(id_)
        one.expires_at = max(one.expires_at, self.now + timedelta(seconds=ttl_of(body)))
        if grow := body.get("grow", 0):
            account, hold = one.holds["tokens" if "credits" not in one.holds else "credits"]
            hold.slices += account.take(grow)
        told = {"generation_id": id_, "expires_at": one.expires_at.isoformat(), "holds": holds_of(one)}
        return self.done(told)

    def confirm(self, body: Body, id_: str) -> Body:
        """Settle a success."""
        one = self._one(id_)
        everywhere = {content for shelf in self.shelves.values() for content in shelf.contents}
        for content in gen.kept(body):
            content.setdefault("id", self.new_id("content"))
        return self._happened(one, gen.confirm(one, body, self.shelf(one.user), everywhere, self.now))

    def fail(self, body: Body, id_: str) -> Body:
        """Settle a failure."""
        one = self._one(id_)
        return self._happened(one, gen.fail(one, body, self.shelf(one.user)))

    def refund_generation(self, body: Body, id_: str) -> Body:
        """Give back what it was charged; by `contents` only the real server can."""
        one = self._one(id_)
        if "contents" in body:
            raise Refused(501, "not_in_the_fake", "The fake server refunds amounts, not contents.")
        unit = "credits" if one.charged["credits"] else "tokens"
        left = one.charged[unit] - one.refunded[unit]
        amount = body.get("amount", left)
        if not left:
            raise Refused(409, "nothing_to_refund", f"Nothing of the generation {id_} is left to refund.")
        if amount > left:
            detail = f"The amount {amount} is more than the {left} of the charge that are not yet refunded."
            raise Refused(409, "exceeds_debit", detail, amount=amount, left=left)
        account, rest = self.account(f"user:{one.user}:{unit}"), amount
        for debit in (each for each in account.debits.values() if each.id.startswith(f"{id_}.")):
            part = min(rest, debit.amount - debit.refunded)
            account.refund(debit, part)
            rest -= part
        one.refunded[unit] += amount
        told = {"generation_id": id_, "refund_id": self.new_id("refund"), "returned": {unit: amount}, "contents": []}
        return self._happened(one, told)

    def generation(self, _body: Body, id_: str) -> Body:
        """One generation."""
        return self._shown(self._one(id_))

    def list_generations(self, query: Body) -> list[Body]:
        """Generations, newest first."""
        wanted = {name: query[name] for name in ("user_id", "status", "model", "outcome") if name in query}
        shown = [self._shown(one) for one in reversed(self.generations.values())]
        return [row for row in shown if all(row[name] == value for name, value in wanted.items())]

    def explain(self, _body: Body, id_: str) -> Body:
        """Why, in words; only the real server knows which grants paid."""
        one = self._one(id_)
        names = ("generation_id", "user_id", "operation", "provider", "model", "status", "quote", "holds")
        shown = self._shown(one)
        history = [{"at": self.now.isoformat(), "type": step, "text": step} for step in one.history]
        told = {name: shown[name] for name in names} | {"allowed": True, "reason": "ok", "checks": []}
        return told | {"decision": "Everything that it needs was there.", "history": history}

    def list_contents(self, query: Body) -> list[Body]:
        """Stored objects."""
        shelves = [shelf for user, shelf in self.shelves.items() if query.get("user_id") in (None, user)]
        return [content for shelf in shelves for content in shelf.contents.values()]

    def _assess(self, body: Body) -> tuple[Body, Cost]:
        cost, user = cost_of(self.prices, body), body["user_id"]
        accounts = {unit: self.account(f"user:{user}:{unit}") for unit in ("credits", "tokens")}
        shelf = self.shelf(user)
        checks = gen.assess(cost, accounts, shelf)
        reason = gen.reason_of(checks)
        deficits = {check["resource"]: check["deficit"] for check in checks}
        told = {
            "can_proceed": reason == "ok",
            "reason": reason,
            "tokens_needed": deficits.get("tokens", 0),
            "storage_needed": deficits.get("storage", 0),
            "current_tokens": accounts["tokens"].available,
            "current_storage": shelf.used,
            "storage_limit": shelf.limit,
            "storage_percent": shelf.used * 1000 // shelf.limit / 10 if shelf.limit else 100.0,
            "quote": quoted(cost),
            "checks": checks,
            "alternatives": [] if reason == "ok" else self._alternatives(body, checks, accounts),
            "actions": gen.actions_of(checks, reason),
        }
        return told, cost

    def _alternatives(self, body: Body, checks: list[Body], accounts: Mapping[str, Account]) -> list[Body]:
        """Cheaper entries for the same operation that would run now."""
        if any(not check["ok"] and check["resource"] == "storage" for check in checks):
            return []
        found = [
            entry
            for entry in self.prices
            if entry.operation == body["operation"].lower()
            and (entry.model is not None or body.get("model") is None)
            and (entry.credits or 0) <= accounts["credits"].available
            and (entry.tokens or 0) <= accounts["tokens"].available
        ]
        found.sort(key=lambda entry: (entry.model != body.get("model"), -(entry.credits or 0)))
        return [
            {
                "label": entry.label,
                "provider": entry.provider,
                "model": entry.model,
                "options": entry.options,
                "credits": entry.credits or 0,
                "tokens": entry.tokens or 0,
                "usd": f"{entry.usd or 0:.2f}",
                "currency": "USD",
            }
            for entry in found[:5]
        ]

    def _one(self, id_: str) -> gen.Generation:
        if id_ not in self.generations:
            raise not_found("generation", id_)
        return self.generations[id_]

    def _open(self, id_: str) -> gen.Generation:
        one = self._one(id_)
        gen.must_be_open(one)
        return one

    def _happened(self, one: gen.Generation, told: Body) -> Body:
        one.history.append(one.status)
        return self.done(told)

    def _shown(self, one: gen.Generation) -> Body:
        return row_of(one, self.shelf(one.user), self.position)
