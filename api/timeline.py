"""What happened to a user, in words."""

from collections.abc import Callable
from typing import Any

from api.database import Row
from domain.money import decimal_text
from infra.position import format_position

Say = Callable[[Row], str]


def _unit(row: Row) -> str:
    return str(row["subject"]).rpartition(":")[2]


def _moved(verb: str) -> Say:
    return lambda row: f"{abs(row['amount'])} {_unit(row)} {verb}{_for(row)}."


def _for(row: Row) -> str:
    return f" for {row['about']}" if row["about"] else ""


def _generation(verb: str) -> Say:
    def say(row: Row) -> str:
        what = f"{row['subject']} with {row['about']}" if row["about"] else str(row["subject"])
        because = f" ({row['reason']})" if row["reason"] else ""
        return f"Generation of {what} {verb}{because}."

    return say


def _purchase(verb: str) -> Say:
    return lambda row: f"Purchase of {row['subject']} for {decimal_text(row['amount'])} {row['about']} {verb}."


_SENTENCES: dict[str, Say] = {
    "granted": _moved("granted"),
    "grant_expired": _moved("expired"),
    "grant_voided": _moved("taken back"),
    "reserved": _moved("held"),
    "returned": _moved("came back from a hold"),
    "captured": _moved("charged from a hold"),
    "released": _moved("released from a hold"),
    "expired": _moved("came back from a hold that ran out"),
    "debited": _moved("charged"),
    "refunded": _moved("refunded"),
    "transferred_in": _moved("received"),
    "transferred_out": _moved("given away"),
    "shortfall_collected": _moved("collected for what was owed"),
    "generation_created": _generation("allowed"),
    "generation_refused": _generation("refused"),
    "generation_completed": _generation("completed"),
    "generation_failed": _generation("failed"),
    "generation_cancelled": _generation("called off"),
    "generation_expired": _generation("ran out of time"),
    "generation_settled_late": _generation("completed late"),
    "content_stored": lambda row: f"Content of {row['amount']} bytes stored.",
    "content_deleted": lambda row: f"Content of {row['amount']} bytes deleted.",
    "purchase_started": _purchase("started"),
    "purchase_completed": _purchase("completed"),
    "purchase_failed": _purchase("failed"),
    "group_joined": lambda row: f"Joined the group {row['subject']}.",
}


def told(row: Row) -> dict[str, Any]:
    """A line of the timeline; what this version has no sentence for is named by its kind."""
    say = _SENTENCES.get(row["kind"])
    return {
        "at": row["at"],
        "kind": row["kind"],
        "id": row["id"],
        "text": say(row) if say else f"{row['kind'].replace('_', ' ')}.",
        "actor": row["actor"],
        "position": format_position(row["position"]),
    }
