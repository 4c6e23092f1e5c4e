"""How the fake server shows a generation: as the contract has it."""

from scrip_client.testing.generations import Generation, Shelf
from scrip_client.testing.ledger import Body
from scrip_client.testing.prices import Cost


def row_of(one: Generation, shelf: Shelf, position: str) -> Body:
    """A generation as it is read."""
    asked = one.asked
    money = {"plan_tokens": 0, "usd": "0.00", "currency": "USD"}
    return {
        "generation_id": one.id,
        "user_id": one.user,
        "operation": asked["operation"].lower(),
        "provider": asked.get("provider"),
        "model": asked.get("model"),
        "options": asked.get("options", {}),
        "count": one.cost.count,
        "status": one.status,
        "outcome": one.outcome,
        "quote": quoted(one.cost),
        "holds": holds_of(one),
        "charged": one.charged | money,
        "refunded": one.refunded | money,
        "succeeded": one.succeeded,
        "prompt": asked.get("prompt"),
        "reason": asked.get("reason"),
        "metadata": asked.get("metadata"),
        "created_at": one.created_at.isoformat(),
        "expires_at": one.expires_at.isoformat(),
        "stored": [shelf.contents[id_] for id_ in one.contents if id_ in shelf.contents],
        "position": position,
    }


def quoted(cost: Cost) -> Body:
    """What it would take."""
    entry = cost.entry
    return {
        "credits": cost.credits,
        "tokens": cost.tokens,
        "usd": f"{cost.usd:.2f}",
        "currency": "USD",
        "bytes": cost.bytes,
        "plan_tokens": 0,
        "token_type": None,
        "item": entry.label if entry else None,
        "price_version": 1 if entry else None,
    }


def holds_of(one: Generation) -> list[Body]:
    """What it holds."""
    held = [
        {"resource": unit, "account": account.address, "unit": unit, "amount": hold.left}
        for unit, (account, hold) in one.holds.items()
    ]
    if one.bytes:
        held.insert(0, {"resource": "storage", "user": one.user, "unit": "bytes", "amount": one.bytes})
    return held
