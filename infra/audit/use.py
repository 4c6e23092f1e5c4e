"""A second implementation of limited use (storage, groups, budgets), and the rows that show it; from JSON alone."""

from datetime import datetime
from typing import Any

from infra.audit.expected import Row, Stored
from infra.audit.reference import moment, must

Amounts = dict[str, int]

MICRO_USD = 1_000_000
DEFAULT_BUDGET = 10 * MICRO_USD  # S2


class Use:
    """What is used and held on one stream in the current period, and what each generation holds."""

    def __init__(self) -> None:
        self.used: Amounts = {}
        self.held: Amounts = {}
        self.holds: dict[str, Row] = {}
        self.keys: set[str] = set()  # of all periods that ever started
        self.key = self.idle_key = ""
        self.start: datetime | None = None
        self.end: datetime | None = None

    def apply(self, event: Stored) -> None:
        """Fold one event that is about use. Raises Broken where a rule does not hold, KeyError for malformed data."""
        kind, data = event.type.rsplit(".", 1)[0], event.data
        match kind:
            case "use-held":
                self._hold(event)
            case "use-extended" | "use-settled" | "use-released" | "use-expired":
                self._later(kind, event)
            case "use-counted":
                must(all(amount > 0 for amount in data["amounts"].values()), "nothing was counted")
                self.used = added(self.used, data["amounts"])
            case "use-given-back":
                if data["period"] == self.key:
                    self.used = added(self.used, data["amounts"], -1)
            case "period-started":
                must(self.start is None and data["key"] not in self.keys, f"period {data['key']} starts twice")
                self.start, self.end = moment(data["start"]), moment(data["end"])
                must(self.start <= event.time < self.end, f"period {data['key']} is not that of its start")
                self.keys.add(data["key"])
                self.key, self.used, self.held = data["key"], {}, {}
            case "period-ended":
                self._ended(event)
            case _:
                must(holds=False, otherwise=f"a stream of this kind has no events of the type {event.type}")

    def fits(self, limits: Amounts, names: Amounts) -> None:
        """What is used and held together is within the limits. Raises Broken."""
        for what in names:
            taken = self.used.get(what, 0) + self.held.get(what, 0)
            must(taken <= limits.get(what, taken), f"{taken} {what} used and held, the limit is {limits.get(what)}")

    def _hold(self, event: Stored) -> None:
        data = event.data
        name, ends = data["generation_id"], moment(data["expires_at"])
        must(name not in self.holds, f"{name} holds something already")
        must(ends > event.time and all(amount > 0 for amount in data["amounts"].values()), "a hold that must not be")
        self.holds[name] = {
            "org": event.org,
            "stream": event.stream,
            "generation_id": name,
            "amounts": data["amounts"],
            "period": self.key,
            "expires_at": ends,
            "position": event.position,
        }
        self.held = added(self.held, data["amounts"])

    def _later(self, kind: str, event: Stored) -> None:
        name, data = event.data["generation_id"], event.data
        must(name in self.holds, f"{name} holds nothing")
        hold = self.holds[name]
        over = hold["expires_at"] <= event.time
        must(over == (kind == "use-expired"), f"{kind} before or after the end of the hold of {name}")
        hold["position"], before = event.position, hold["amounts"]
        if kind == "use-extended":
            must(moment(data["expires_at"]) >= hold["expires_at"], "extended to a sooner end")
            hold["expires_at"] = moment(data["expires_at"])
            hold["amounts"] = added(before, data["grown"])
        elif kind == "use-settled":
            must(data["period"] in ("", hold["period"]), f"settled in period {data['period']}, not that of the hold")
            hold["amounts"] = added(added(before, data["used"], -1), data["returned"], -1)
            must(not (data["final"] and hold["amounts"]), f"{hold['amounts']} of the hold of {name} is lost")
        else:
            must(data["amounts"] == before, f"{data['amounts']} came back of {before} held")
            hold["amounts"] = {}
        if hold["period"] == self.key:
            self.held = added(added(self.held, before, -1), hold["amounts"])
            self.used = added(self.used, data.get("used", {}))
        if kind != "use-extended" and data.get("final", True):
            del self.holds[name]

    def _ended(self, event: Stored) -> None:
        data = event.data
        must(data["key"] == self.key and data["used"] == self.used, f"period {data['key']} ended as it was not")
        if data["at"] is None:
            must(self.end is not None and self.end <= event.time, f"period {data['key']} ended before its end")
        else:
            self.idle_key = data["then"]
        self.key, self.used, self.held, self.start, self.end = self.idle_key, {}, {}, None, None


def added(one: Amounts, more: Amounts, sign: int = 1) -> Amounts:
    """The sum or the difference, by name; amounts of zero or less are left out."""
    total = {name: one.get(name, 0) + sign * more.get(name, 0) for name in (*one, *more)}
    return {name: amount for name, amount in total.items() if amount > 0}


class Storage:
    """One user's storage. `plan_limit`: the organisation's limit at an event; None where it is not known."""

    def __init__(self) -> None:
        self.use = Use()
        self.limit: int | None = None
        self.contents: dict[str, Row] = {}

    def apply(self, event: Stored, plan_limit: int | None) -> None:
        """Fold one event. Raises Broken."""
        data, use = event.data, self.use
        match event.type.rsplit(".", 1)[0]:
            case "content-stored":
                name = data["content_id"]
                must(name not in self.contents and data["bytes"] >= 0, f"the content {name} is stored twice")
                self.contents[name] = _content(event)
                use.used = added(use.used, {"bytes": data["bytes"]})
            case "content-deleted":
                row = self.contents[data["content_id"]]
                must(row["deleted_at"] is None and row["bytes"] == data["bytes"], f"{row['id']} was deleted before")
                row |= {"deleted_at": event.time, "position": event.position}
                use.used = added(use.used, {"bytes": data["bytes"]}, -1)
            case "storage-limit-set":
                self.limit = data["limit"]
            case kind:
                use.apply(event)
                limit = plan_limit if self.limit is None else self.limit
                if kind == "use-held" and limit is not None:
                    use.fits({"bytes": limit}, data["amounts"])

    def row(self, last: Stored) -> Row:
        use = self.use
        amounts = {"used": use.used.get("bytes", 0), "held": use.held.get("bytes", 0), "storage_limit": self.limit}
        return {"org": last.org, "user_id": _name(last), **amounts, **_standing(last)}


def _content(event: Stored) -> Row:
    data = event.data
    return {
        "org": event.org,
        "id": data["content_id"],
        "user_id": _name(event),
        "bytes": data["bytes"],
        "generation_id": data["generation_id"],
        "sealed": data["sealed"],
        "created_at": event.time,
        "created_position": event.position,
        "deleted_at": None,
        "position": event.position,
    }


class Budget:
    """One user's monthly budget, in micro-USD."""

    def __init__(self) -> None:
        self.use = Use()
        self.monthly = DEFAULT_BUDGET
        self.ceiling: int | None = None

    def apply(self, event: Stored) -> None:
        """Fold one event; what is held is within the budget, what was really spent may be above it. Raises Broken."""
        data = event.data
        match event.type.rsplit(".", 1)[0]:
            case "budget-set":
                self.monthly, self.ceiling = data["monthly"], data["ceiling"]
                must(MICRO_USD <= self.monthly <= 1000 * MICRO_USD, f"a budget of {self.monthly}")
                must(self.ceiling is None or self.monthly <= self.ceiling, "a budget above its ceiling")
            case "cost-recorded":
                if data["success"]:
                    self.use.used = added(self.use.used, {"usd": data["usd"]})
            case kind:
                self.use.apply(event)
                if kind == "use-held":
                    self.use.fits({"usd": self.monthly}, data["amounts"])

    def row(self, last: Stored) -> Row:
        use = self.use
        amounts = {"used": use.used.get("usd", 0), "held": use.held.get("usd", 0)}
        limits = {"monthly": self.monthly, "ceiling": self.ceiling}
        return {"org": last.org, "user_id": _name(last), **limits, **amounts, **_period(use), **_standing(last)}


class Counted:
    """What counts only while a generation is open."""

    def __init__(self) -> None:
        self.use = Use()
        self.seen: set[str] = set()  # that counting has started, and is complete

    def apply(self, event: Stored) -> None:
        """Fold one event. Nothing is held before it started, each of these is once, and nothing is ever used.

        Raises Broken.
        """
        kind = event.type.rsplit(".", 1)[0]
        if kind in ("counting-started", "counting-completed"):
            must(kind not in self.seen, f"{kind} twice")
            must(bool(self.seen) == (kind == "counting-completed"), "counting is complete before it started")
            self.seen.add(kind)
            return
        must("counting-started" in self.seen, "something is held before counting started")
        must(kind in ("use-held", "use-extended", "use-released", "use-expired"), f"{kind} of what only lasts")
        must(all(amount == 1 for amount in event.data.get("amounts", {}).values()), "one generation counts twice")
        self.use.apply(event)


class Group:
    """One group with its limits and members."""

    def __init__(self) -> None:
        self.use = Use()
        self.row_: Row = {}
        self.members: dict[str, Row] = {}

    def apply(self, event: Stored) -> None:
        """Fold one event; nothing is held or counted above a limit. Raises Broken."""
        data, kind = event.data, event.type.rsplit(".", 1)[0]
        if kind in ("group-created", "group-edited"):
            must(bool(self.row_) == (kind == "group-edited"), "a group is created once, and before all else")
            texts = {name: data[name] for name in ("name", "description", "limits", "every")}
            texts["settings"] = data.get("settings", {})
            self.row_ = {"created_at": event.time, "deleted_at": None} | self.row_ | texts
        elif kind == "group-deleted":
            self.row_["deleted_at"], self.members = event.time, {}
        elif kind in ("members-added", "members-removed"):
            for user in data["users"]:
                must((user in self.members) == (kind == "members-removed"), f"{user} is or is not in the group")
                member = {"org": event.org, "group_id": _name(event), "user_id": user, "joined_at": event.time}
                self.members[user] = member | {"position": event.position}
                if kind == "members-removed":
                    del self.members[user]
        else:
            self.use.apply(event)
            if kind in ("use-held", "use-counted"):
                must(self.row_["deleted_at"] is None, "a group that is gone counts nothing")
                self.use.fits(self.row_["limits"], data["amounts"])

    def row(self, last: Stored) -> Row:
        use = self.use
        counts = {"member_count": len(self.members), "used": use.used, "held": use.held}
        return {"org": last.org, "id": _name(last), **self.row_, **counts, **_period(use), **_standing(last)}


def _period(use: Use) -> dict[str, Any]:
    return {"period_key": use.key, "idle_key": use.idle_key, "period_start": use.start, "period_end": use.end}


def _standing(last: Stored) -> dict[str, Any]:
    return {"version": last.version, "position": last.position, "updated_at": last.time}


def _name(event: Stored) -> str:
    return event.stream.partition("/")[2]
