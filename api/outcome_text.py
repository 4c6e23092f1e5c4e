"""What became of a generation in one sentence, for everybody who shows it: `Failed: nothing charged`."""

from collections.abc import Mapping
from typing import NamedTuple

from api.counted_text import amount_of_unit
from domain.resources.table import RESOURCES

_BEGINNINGS = {
    "refused": "Refused",
    "held": "Waiting",
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "expired": "Expired",
    "settled_late": "Completed late",
}
OPEN = frozenset({"held", "running"})
_REFUSED = {each.reason: each.short for each in RESOURCES}


class Moved(NamedTuple):
    """Of one resource: all that was held, what was charged, what of the hold came back when it ended.

    Later, `refunded` of what was charged. Whole credits or tokens, or micro-USD.
    """

    held: int = 0
    charged: int = 0
    returned: int = 0
    refunded: int = 0


def outcome_text(status: str, refusal: str | None, moved: Mapping[str, Moved], owed: Mapping[str, int]) -> str:
    """The sentence, without a full stop. `moved` is by resource; `owed` by unit what could not be charged yet.

    A hold never reads like a charge.
    """
    beginning = _BEGINNINGS.get(status, status.replace("_", " ").capitalize())
    if status == "refused":
        return f"{beginning}: {_REFUSED.get(refusal or '', (refusal or 'not allowed').replace('_', ' '))}"
    charged = {what: each.charged for what, each in moved.items() if each.charged}
    if status in OPEN:
        held = {what: each.held - each.charged for what, each in moved.items() if each.held > each.charged}
        so_far = f"{_amounts(charged)} charged so far, " if charged else ""
        return f"{beginning}: {so_far}{_amounts(held) or 'nothing'} held{'' if charged else ', not charged'}"
    parts = [f"{_amounts(charged) or 'nothing'} charged"]
    if charged:
        returned = {what: each.returned for what, each in moved.items() if each.returned}
        parts += _more(returned, charged, "returned")
    parts += _more({what: each.refunded for what, each in moved.items() if each.refunded}, charged, "refunded")
    parts += _more({what: amount for what, amount in owed.items() if amount}, charged, "still owed")
    return f"{beginning}: {', '.join(parts)}"


def _more(amounts: Mapping[str, int], charged: Mapping[str, int], verb: str) -> list[str]:
    """The unit is not said again where it is clear: `1,100 credits charged, 140 returned`."""
    if not amounts:
        return []
    if len(charged) == 1 and amounts.keys() == charged.keys() and "usd" not in charged:
        return [f"{next(iter(amounts.values())):,} {verb}"]
    return [f"{_amounts(amounts)} {verb}"]


def _amounts(amounts: Mapping[str, int]) -> str:
    return " and ".join(amount_of_unit(amount, unit) for unit, amount in amounts.items())
