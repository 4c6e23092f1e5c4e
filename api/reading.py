"""What reads share: the wait for a position, personal text opened for those who may see it, and the way to answer."""

from collections.abc import Iterable
from typing import Any

import msgspec
import psycopg
from starlette.responses import Response

from api.database import Row
from api.http.caller import Call
from api.paging import Cursors
from api.problems import invalid, not_yet_visible
from api.services import Services
from domain.credits.address import parse_address
from infra.partitions import partition_of
from infra.position import format_position, parse_position


class Json(Response):
    """An answer encoded by msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return msgspec.json.encode(content)


async def seen(call: Call, min_position: str | None) -> None:
    """Wait until the read models hold `min_position`. Raises Problem (503) after 2 s."""
    if min_position is None:
        return
    partition = partition_of(call.org, call.services.ledger.writer.partitions)
    try:
        reached = await call.services.visible.reached(partition, parse_position(min_position))
    except psycopg.errors.UndefinedTable:
        reached = False
    if not reached:
        raise not_yet_visible()


def cursors(call: Call, *list_: str) -> Cursors:
    """The cursors of a list of the caller's organisation."""
    return Cursors(call.services.fingerprint_secret, call.org, *list_)


async def open_text(call: Call, address: str, rows: Iterable[Row]) -> None:
    """Replace `sealed` in each row by `reason` and `metadata`: none where there is no text or its key is erased."""
    rows = list(rows)
    owner = parse_address(address).owner
    if any(row["sealed"] for row in rows):
        await call.services.threads.run(_open_all, call.services, call.org, owner, rows)
    else:
        _open_all(call.services, call.org, owner, rows)


def _open_all(services: Services, org: str, owner: str, rows: list[Row]) -> None:
    for row in rows:
        sealed = row.pop("sealed")
        text = (services.sealer.open(org, owner, sealed) if sealed else None) or {}
        row["reason"], row["metadata"] = text.get("reason"), text.get("metadata")


def renamed(row: Row, id_name: str) -> Row:
    """A row with its id under the name that commands give it, and its position as text."""
    told = {id_name: row.pop("id"), **row}
    told["position"] = format_position(told["position"])
    return told


def between(from_: Any, to: Any) -> None:
    """Raises Problem (422) for a period that ends before it begins."""
    if from_ is not None and to is not None and to < from_:
        raise invalid("to", "must not be earlier than from")
