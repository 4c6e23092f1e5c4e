"""An account as it is now, read from the write side: current without waiting for a read model."""

from datetime import datetime
from typing import Any

from api.http.problems import turned_away, unavailable
from api.http.services import Services
from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.credits.burn import burn_key
from domain.credits.events import Slice
from infra.position import format_position
from infra.writer.submission import Answered, Current, OutcomeUnknown, Overloaded

MAX_GRANTS_SHOWN = 100
NOW = "select scrip_now() as now"


async def read_current(services: Services, org: str, *streams: str, tags: tuple[str, ...] = ()) -> Current:
    """The streams' states and the tags' events now. Raises Problem (503)."""
    try:
        return await services.ledger.current(org, streams, tags)
    except OutcomeUnknown:
        raise unavailable() from None
    except Overloaded as error:
        raise turned_away(error) from None


async def ask(services: Services, org: str, question: Any) -> Answered:
    """The answer to a question as of now. Raises Refusal, Problem (503)."""
    try:
        return await services.ledger.ask(org, question)
    except OutcomeUnknown:
        raise unavailable() from None
    except Overloaded as error:
        raise turned_away(error) from None


async def account_now(services: Services, org: str, address: str) -> tuple[Account, Current]:
    """The account's state with everything due folded in, and as of when. Raises Problem (503)."""
    stream = stream_of(address)
    current = await read_current(services, org, stream)
    account: Account = current.states[stream]
    return account, current


async def database_time(services: Services) -> datetime:
    """The one clock."""
    rows = await services.rows_of_all(NOW)
    now: datetime = rows[0]["now"]
    return now


def balance_of(address: str, account: Account, position: int, as_of: datetime) -> dict[str, Any]:
    """The contract's balance."""
    grants = sorted(account.grants[:MAX_GRANTS_SHOWN], key=burn_key)
    return {
        "address": address,
        "exists": account.exists,
        "granted": account.granted,
        "debited": account.debited,
        "refunded": account.refunded,
        "expired": account.expired,
        "voided": account.voided,
        "transferred_in": account.transferred_in,
        "transferred_out": account.transferred_out,
        "reserved": account.reserved,
        "available": account.available,
        "shortfall": account.shortfall,
        "overdrawn": max(0, -account.available),
        "frozen": account.frozen,
        "closed": account.closed,
        "credit_limit": account.credit_limit,
        "grants": [_live(part) for part in grants],
        "position": format_position(position),
        "as_of": as_of,
    }


def _live(part: Slice) -> dict[str, Any]:
    return {
        "grant_id": part.grant,
        "amount": part.amount,
        "source": part.source,
        "priority": part.priority,
        "granted_at": part.granted_at,
        "expires_at": part.expires_at,
    }
