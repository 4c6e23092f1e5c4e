"""What each generation of a list held, was charged and gave back, by resource."""

from typing import Any

from api.database import Row
from api.outcome_text import OPEN, Moved, outcome_text
from domain.money import decimal_text
from domain.resources.table import RESOURCES

FIGURES = tuple(each.figure for each in RESOURCES.settling if each.figure)
# What generations `g` held by resource, extensions included: a generation holds under its own id on every account that
# pays for it. None where it held nothing.
HELD = """
    left join lateral (
        select jsonb_object_agg(unit, amount) as held from (
            select case when address like '%%:tokens.%%' then 'plan_tokens'
                else regexp_replace(address, '^.*:', '') end as unit, sum(amount) as amount
            from read.reservations where org = g.org and id = g.id and generation group by 1
        ) each
    ) holding on true"""


def amounts_of(row: Row) -> dict[str, Any]:
    """The part of a generation's answer that says what it took: `amounts` by resource, and `outcome_text`.

    Of USD, which no account holds, `held` is what it was expected to cost.
    """
    ended = row["status"] not in OPEN
    moved = {name: _moved(row, name, ended=ended) for name in FIGURES}
    amounts: dict[str, dict[str, Any]] = {name: each._asdict() for name, each in moved.items()}
    amounts["usd"] = {what: decimal_text(amount) for what, amount in amounts["usd"].items()}
    return {
        "amounts": amounts,
        "outcome_text": outcome_text(row["status"], row["refusal"], moved, row["shortfall"]),
    }


def _moved(row: Row, name: str, *, ended: bool) -> Moved:
    charged = row[f"charged_{name}"]
    held = (row["held"] or {}).get(name, 0)
    if name == "usd" and row["status"] != "refused":
        held = row["quoted_usd"]
    return Moved(held, charged, max(0, held - charged) if ended else 0, row[f"refunded_{name}"])
