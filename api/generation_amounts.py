"""What each generation of a list held, was charged and gave back, by resource."""

from collections.abc import Sequence
from typing import Any

from api.assessment import amounts_answer
from api.outcome_text import OPEN, Moved, outcome_text
from api.services import Row, Services

RESOURCES = ("credits", "tokens", "plan_tokens", "usd")
# A generation holds under its own id on every account that pays for it.
_HELD = """
    select id, unit, sum(amount)::bigint as amount from (
        select id, amount, case when address like '%%:tokens.%%' then 'plan_tokens'
            else regexp_replace(address, '^.*:', '') end as unit
        from read.reservations where org = %(org)s and id = any(%(ids)s) and generation
    ) held group by 1, 2"""


async def add_held(services: Services, org: str, rows: Sequence[Row]) -> None:
    """Note in each row of `read.generations` what it held, by resource (`held`), extensions included."""
    if not rows:
        return
    held: dict[str, dict[str, int]] = {}
    for row in await services.rows(_HELD, {"org": org, "ids": [row["id"] for row in rows]}):
        held.setdefault(row["id"], {})[row["unit"]] = row["amount"]
    for row in rows:
        row["held"] = held.get(row["id"], {})


def amounts_of(row: Row) -> dict[str, Any]:
    """The part of a generation's answer that says what it took: `amounts` by resource, and `outcome_text`.

    Of USD, which no account holds, `held` is what it was expected to cost.
    """
    ended = row["status"] not in OPEN
    moved = {name: _moved(row, name, ended=ended) for name in RESOURCES}
    return {
        "amounts": {
            **{name: each._asdict() for name, each in moved.items() if name != "usd"},
            "usd": {what: amounts_answer({"usd": amount})["usd"] for what, amount in moved["usd"]._asdict().items()},
        },
        "outcome_text": outcome_text(row["status"], row["refusal"], moved, row["shortfall"]),
    }


def _moved(row: Row, name: str, *, ended: bool) -> Moved:
    charged = row[f"charged_{name}"]
    held = row["held"].get(name, 0)
    if name == "usd" and row["status"] != "refused":
        held = row["quoted_usd"]
    return Moved(held, charged, max(0, held - charged) if ended else 0, row[f"refunded_{name}"])
