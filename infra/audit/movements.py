"""What each event moves of an account's available credits, and for which generation, read from its JSON."""

from collections.abc import Iterator
from typing import Any

from infra.audit.reference import Json, amount_of


def generation_of(kind: str, data: Json, hold: dict[str, Any] | None) -> str | None:
    """The generation that a movement is about: what is charged beside its holds is numbered after it."""
    if hold is not None:
        return str(hold["id"]) if hold["generation"] else None
    if kind not in ("credits-debited", "credits-refunded") or data["debit_id"].startswith("shortfall."):
        return None
    return data["debit_id"].rpartition(".")[0] or None


def movements(  # noqa: C901 - one case for each event
    kind: str, data: Json
) -> Iterator[tuple[str, int, Json, str | None]]:
    """Type, signed amount, the ids involved and the sealed text of each movement of available credits."""
    names = ("reservation_id", "debit_id", "refund_id", "transfer_id")
    ids = {name: data[name] for name in names if name in data}
    sealed = data.get("sealed")
    match kind:
        case "credits-reserved" | "credits-debited":
            yield kind.removeprefix("credits-"), -data["amount"], ids, sealed
        case "reservation-extended" if data["grown"]:
            yield "reserved", -data["grown"], ids, None
        case "reservation-captured":
            yield "returned", data["amount"] + amount_of(data["returned"]), ids, None
            yield "captured", -data["amount"], ids, sealed
        case "reservation-released" | "reservation-expired":
            yield kind.removeprefix("reservation-"), data["amount"], ids, sealed
        case "shortfall-collected":
            yield "shortfall_collected", -data["amount"], ids, None
        case "credits-granted" | "allowance-granted":
            yield "granted", data["grant"][1], {"grant_id": data["grant"][0]}, sealed
        case "grant-expired" | "grant-voided" if data.get("effective", True) and data["grant"][1]:
            yield kind.replace("-", "_"), -data["grant"][1], {"grant_id": data["grant"][0]}, sealed
        case "credits-refunded":
            yield "refunded", data["amount"], ids, sealed
        case "credits-transferred-out":
            yield "transferred_out", -data["amount"], ids | {"counterparty": data["to"]}, sealed
        case "credits-transferred-in":
            yield "transferred_in", data["amount"], ids | {"counterparty": data["sender"]}, None
