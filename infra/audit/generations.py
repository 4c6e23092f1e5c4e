"""A second implementation of a generation, and the row that shows it; from the JSON of its events alone."""

from collections.abc import Mapping
from typing import Any

from infra.audit.expected import Row, Stored
from infra.audit.reference import Json, moment, must
from infra.audit.use import added

OPEN = ("held", "running")
_PAID = {"credits": "credits", "tokens": "tokens", "plan": "plan_tokens"}
_COUNTED = {"groups": "group/", "budget": "budget/", "storage": "storage/"}
_OPEN = "counted/"  # what counts only while a generation is open, whatever it is: one rule for all (use.Counted)
_SETTLED = {
    "generation-completed": "completed",
    "generation-settled-late": "settled_late",
    "generation-failed": "failed",
}


class NoRule(Exception):
    """There is a resource of which this reference knows nothing: whatever it said would not be the whole."""

    def __init__(self, resource: str, kind: str) -> None:
        super().__init__(f"the audit has no rule for the resource {resource} on streams {kind}…")


def must_have_rules(resources: Mapping[str, str]) -> None:
    """Raises NoRule. `resources`: the names of all that there are, with how their streams begin."""
    for name, kind in resources.items():
        if kind not in ("account/" if name in _PAID else _COUNTED.get(name), _OPEN):
            raise NoRule(name, kind)


class Generation:
    """One generation: its row, and what was charged and came back on each stream."""

    def __init__(self) -> None:
        self.row: Row = {}
        self.charged: dict[tuple[str, str], dict[str, int]] = {}  # by stream and debit or period

    def apply(self, event: Stored) -> None:
        """Fold one event. Raises Broken: it is held once, ends at most once, and is settled while it may be."""
        kind, data, row = event.type.rsplit(".", 1)[0], event.data, self.row
        if kind in ("generation-held", "generation-refused"):
            must(not row or row["status"] == "refused", "what was asked for before is asked for again")
            self.row = _asked(event)
            must(self.row["count"] > 0, "a generation of nothing")
        else:
            must(bool(row), "an event of a generation that was never asked for")
            self._later(kind, event)
        self.row |= {"version": event.version, "position": event.position}
        if kind == "generation-held":
            must(self.row["expires_at"] > event.time, "a hold that must not be")
        if kind == "generation-refused":
            short = [check for check in data["checks"] if not check[1]]
            must(bool(short) and data["reason"] in {check[2] for check in short}, "refused without a reason")

    def _later(self, kind: str, event: Stored) -> None:
        row, data = self.row, event.data
        if kind == "generation-refunded":
            self._refund(data)
            return
        if kind == "generation-settled-late":
            must(row["status"] == "expired", f"settled late, but {row['status']}")
        else:
            must(row["status"] in OPEN, f"{kind}, but it is {row['status']}")
            over = row["expires_at"] <= event.time
            must(over == (kind == "generation-expired"), f"{kind} before or after its end")
        match kind:
            case "generation-started":
                row |= {"status": "running", "started_at": event.time}
            case "generation-extended":
                must(moment(data["expires_at"]) >= row["expires_at"], "extended to a sooner end")
                row |= {"expires_at": moment(data["expires_at"]), "holds": _holds(data)}
            case "generation-part-completed":
                row |= {"status": "running", "started_at": row["started_at"] or event.time, "holds": _holds(data)}
                self._settle(data)
            case "generation-completed" | "generation-settled-late" | "generation-failed":
                row |= {"status": _SETTLED[kind], "ended_at": event.time, "holds": []}
                row["outcome"] = data.get("outcome")
                self._settle(data)
            case "generation-cancelled":
                row |= {"status": "cancelled", "ended_at": event.time, "holds": []}
            case "generation-expired":
                row |= {"status": "expired", "ended_at": event.time}
            case _:
                must(holds=False, otherwise=f"a generation has no events of the type {event.type}")

    def _settle(self, data: Json) -> None:
        row = self.row
        for resource, stream, amounts, debit_id, period in data["charges"]:
            place = (stream, debit_id or period)
            self.charged[place] = added(self.charged.get(place, {}), amounts)
            if resource in _PAID:
                row[f"charged_{_PAID[resource]}"] += sum(amounts.values())
        row["charged_usd"] += data["usd"]
        row["uncharged"] = added(row["uncharged"], data["uncharged"])
        row["shortfall"] = added(row["shortfall"], data["shortfall"])
        row["succeeded"] += data["succeeded"] or 0
        must(row["succeeded"] <= row["count"], f"{row['succeeded']} succeeded of {row['count']}")
        row["contents"] += len(data["contents"])
        row["content_bytes"] += sum(size for _, size in data["contents"])
        if data["provider_cost"]:
            row["provider_cost"] = (row["provider_cost"] or 0) + data["provider_cost"][0]
            row["provider_currency"] = data["provider_cost"][1]
        if data["generation_time_ms"] is not None:
            row["generation_time_ms"] = (row["generation_time_ms"] or 0) + data["generation_time_ms"]
        row["sealed_end"] = data["sealed"] or row["sealed_end"]

    def _refund(self, data: Json) -> None:
        for _, _, amounts, _, _ in data.get("written_off", ()):
            for unit, amount in amounts.items():
                owed = self.row["shortfall"].get(unit, 0)
                must(0 < amount <= owed, f"{amount} {unit} written off, {owed} was owed")
            self.row["shortfall"] = added(self.row["shortfall"], amounts, -1)
        for resource, stream, amounts, debit_id, period in data["returned"]:
            charged = self.charged.get((stream, debit_id or period), {})
            for what, amount in amounts.items():
                must(0 < amount <= charged.get(what, 0), f"{amount} {what} came back, {charged.get(what, 0)} was left")
            self.charged[stream, debit_id or period] = added(charged, amounts, -1)
            name = "usd" if resource == "budget" else _PAID.get(resource)
            if name:
                self.row[f"refunded_{name}"] += sum(amounts.values())


def _asked(event: Stored) -> Row:
    data, held = event.data, event.type.startswith("generation-held")
    credit, tokens, usd, size, token_type, plan_tokens, item, price_version = data["quote"]
    quoted = {"credits": credit, "tokens": tokens, "usd": usd, "bytes": size, "plan_tokens": plan_tokens}
    nothing = ("credits", "tokens", "usd", "plan_tokens")
    return {
        "org": event.org,
        "id": data["generation_id"],
        "user_id": data["user"],
        **{name: data[name] for name in ("operation", "provider", "model", "options", "count", "feature", "parent_id")},
        **{f"quoted_{name}": amount for name, amount in quoted.items()},
        **{f"{kind}_{name}": 0 for kind in ("charged", "refunded") for name in nothing},
        "uncharged": {},
        "shortfall": {},
        **dict.fromkeys(("succeeded", "contents", "content_bytes"), 0),
        **dict.fromkeys(("outcome", "provider_cost", "provider_currency", "generation_time_ms"), None),
        **dict.fromkeys(("started_at", "sealed_end"), None),
        "token_type": token_type,
        "item": item,
        "price_version": price_version,
        "status": "held" if held else "refused",
        "reason": data.get("reason"),
        "holds": _holds(data) if held else [],
        "created_at": event.time,
        "created_position": event.position,
        "ended_at": None if held else event.time,
        "expires_at": moment(data["expires_at"]) if held else None,
        "actor": event.actor,
        "sealed": data.get("sealed"),
    }


def _holds(data: Json) -> list[dict[str, Any]]:
    return [{"resource": held[0], "stream": held[1], "amounts": held[2]} for held in data["holds"]]
