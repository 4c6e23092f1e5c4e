"""The fake server's price book: the most specific entry that matches decides, as on the real one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from scrip_client.testing.refusals import Refused, invalid

MB = 1_048_576
IMAGE_LIKE = frozenset({"image", "studio", "marketing"})
SCALES = frozenset({"count", "complexity"})


@dataclass(frozen=True, slots=True)
class Entry:
    """What one thing costs; `rates`: credits per 1,000 measured units, `expected_usage`: what a hold is sized from."""

    operation: str | None
    provider: str | None
    model: str | None
    options: dict[str, Any]
    credits: int | None
    tokens: int | None
    usd: Decimal | None
    rates: dict[str, int] = field(default_factory=dict)
    expected_usage: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """In words."""
        return _label(self.model or self.operation or "any", self.options)


@dataclass(frozen=True, slots=True)
class Cost:
    """What is asked for comes to."""

    credits: int
    tokens: int
    usd: Decimal
    bytes: int
    count: int
    entry: Entry | None


def find(entries: list[Entry], asked: Mapping[str, Any]) -> Entry | None:
    """The entry for what is asked. Raises Refused (`unpriced`) for a model that has none."""
    matching = [entry for entry in entries if _matches(entry, asked)]
    if matching:
        return max(matching, key=lambda entry: (len(entry.options), sum(map(bool, (entry.provider, entry.operation)))))
    if asked.get("model") is not None:
        named = " ".join(filter(None, (asked.get("provider"), asked["model"])))
        priced = [entry.label for entry in entries if _same(entry.model, asked["model"])]
        raise unpriced(_label(named, asked.get("options", {})), priced or [entry.label for entry in entries])
    return None


def unpriced(asked: str, priced: list[str]) -> Refused:
    """There is no price, and so it cannot be done."""
    listed = ", ".join(priced) or "nothing yet"
    return Refused(422, "unpriced", f"There is no price for {asked}. Priced are: {listed}.", priced=priced)


def cost_of(entries: list[Entry], asked: Mapping[str, Any]) -> Cost:
    """What it would take. Raises Refused."""
    operation, options = asked["operation"].lower(), asked.get("options", {})
    count = options.get("count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise invalid("options.count", "must be a whole number above 0")
    entry = find(entries, asked)
    declared = asked.get("tokens") or 0
    if entry is not None and (entry.tokens is not None or entry.credits is not None):
        tokens = max((entry.tokens or 0) * count, declared)
    elif asked.get("model") is not None:
        tokens = declared
    else:
        tokens = max((_estimate(operation, options) or 0) * count, declared)
    size = asked.get("bytes") or 0
    size = max({"video": 10 * MB}.get(operation, 5 * MB if operation in IMAGE_LIKE else 0), size) * count
    if entry is None and not tokens and not (operation == "upload" and "bytes" in asked):
        detail = f"tokens: {operation} has no price and no estimate, so tokens must be given."
        raise Refused(422, "tokens_needed", detail, field="tokens")
    priced = entry or Entry(None, None, None, {}, None, None, None)
    return Cost(credits_of(entry, asked) or 0, tokens, (priced.usd or Decimal(0)) * count, size, count, entry)


def credits_of(entry: Entry | None, asked: Mapping[str, Any]) -> int | None:
    """The fixed price, or what the expected use costs where that is more. Raises Refused where both are 0."""
    estimate, count = asked.get("estimate") or {}, (asked.get("options") or {}).get("count", 1)
    if unknown := sorted(set(estimate) - set(entry.rates if entry else ())):
        label = entry.label if entry else asked.get("operation", "this")
        raise unpriced(f"{label} by {', '.join(unknown)}", sorted(entry.rates if entry else ()))
    if entry is None:
        return None
    fixed = entry.credits * count if entry.credits is not None else None
    if not any(entry.rates.values()):
        return fixed
    units = {unit: amount * count for unit, amount in entry.expected_usage.items()}
    for unit, amount in estimate.items():
        units[unit] = amount if asked.get("may_lower", True) else max(amount, units.get(unit, 0))
    held = max(fixed or 0, by_usage(entry, units))
    if not held:
        priced = sorted(entry.rates)
        detail = (
            f"{entry.label} is priced by the use of {', '.join(priced)}, and nothing says how much to hold. "
            "Give an estimate of these units above 0, or publish the price with expected_usage."
        )
        raise Refused(422, "unpriced", detail, priced=priced)
    return held


def by_usage(entry: Entry | None, usage: Mapping[str, int]) -> int:
    """Credits for measured use, rounded up once. Raises Refused for a unit without a rate."""
    rates = entry.rates if entry else {}
    if not set(usage) <= set(rates):
        raise unpriced(f"{entry.label if entry else 'this'} by {', '.join(sorted(usage))}", sorted(rates))
    return -(-sum(amount * rates[unit] for unit, amount in usage.items()) // 1000)


def _matches(entry: Entry, asked: Mapping[str, Any]) -> bool:
    options = {name: str(value).casefold() for name, value in asked.get("options", {}).items()}
    return (
        _same(entry.model, asked.get("model"))
        and (entry.provider is None or asked.get("provider") is None or _same(entry.provider, asked["provider"]))
        and (entry.operation is None or asked.get("operation") is None or _same(entry.operation, asked["operation"]))
        and all(options.get(name) == str(value).casefold() for name, value in entry.options.items())
    )


def _same(one: str | None, other: str | None) -> bool:
    return (one or "").casefold() == (other or "").casefold()


def _estimate(operation: str, options: Mapping[str, Any]) -> int | None:
    if operation == "image":
        return 200 if str(options.get("complexity", "simple")).casefold() == "complex" else 100
    if operation == "video":
        return 500 if options.get("duration", 6) <= 6 else 1000
    return 50 if operation == "chat" else None


def _label(named: str, options: Mapping[str, Any]) -> str:
    shown = [
        f"{value}s" if name == "duration" else str(value)
        for name, value in sorted(options.items(), reverse=True)
        if name not in SCALES
    ]
    return " ".join([named, *shown])
