"""What proves an event: its bytes, everything that its hash is made of, and the chain from it to the partition's head.

Hashes chain per partition, and a partition holds several organisations. Another one's events are links without
content (position, previous hash, hash): they show that the chain is not broken, and are checked by `scrip verify`.
"""

from base64 import b64encode
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.database import Row
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.problems import invalid, not_found
from api.reading import Json, cursors
from api.services import Services
from infra.log.chain import GENESIS, head_of, microseconds
from infra.partitions import partition_of
from infra.position import format_position, parse_position
from infra.topics import LEDGER, topic_name

RULE = "hash = SHA-256(previous_hash || head || bytes); of another organisation's events only the links are shown"

# The event before `first` comes along for its hash. The bytes of others never leave the database.
_LINKS = """
    select position, org = %(org)s as own, hash,
        case when org = %(org)s then org end as org, case when org = %(org)s then stream end as stream,
        case when org = %(org)s then version end as version, case when org = %(org)s then type end as type,
        case when org = %(org)s then time end as time, case when org = %(org)s then data end as data
    from events where partition = %(partition)s and position >= %(first)s - 1 and position < %(first)s + %(limit)s
    order by position"""
_HEAD = """
    select e.position, e.hash, log.id::text as log from log
    cross join lateral (
        select position, hash from events where partition = %s order by position desc limit 1
    ) e"""


class Link(BaseModel):
    """One step of the chain. `head` and `bytes` (base64) only of the organisation's own events."""

    position: str
    previous_hash: str
    hash: str
    own: bool
    head: str | None = None
    bytes: str | None = None


class Head(BaseModel):
    """The last event of the partition."""

    position: str
    hash: str


class Kafka(BaseModel):
    """Where the topic has the event: the record with this key whose header `ce_position` is the position."""

    topic: str
    partition: int
    key: str


class Proof(Link):
    """`head` is the text that stands between the previous hash and the stored bytes: the hash's other inputs."""

    rule: str
    log: str
    partition: int
    org: str
    stream: str
    version: int
    type: str
    time: datetime
    time_us: int
    kafka: Kafka
    partition_head: Head
    chain: list[Link]
    next_cursor: str | None = None


@endpoint("GET /api/v1/audit/proof/{position}", May.READ_EVENTS, Proof)
async def prove_event(call: Call, position: str, limit: Limit = 50, cursor: CursorText = None) -> Json:
    """An event's bytes, what its hash is made of, and the chain from it to the partition's head."""
    at = _position(position)
    pages = cursors(call, "proof", position)
    after = int(pages.decode(cursor, int)[0]) if cursor else at
    partition = partition_of(call.org, call.services.ledger.writer.partitions)
    proved = await _links(call.services, call.org, partition, at, 1)
    if not proved or not proved[0]["own"]:
        raise not_found("event", position)
    (end,) = await call.services.rows_of_all(_HEAD, (partition,))
    chain = await _links(call.services, call.org, partition, after + 1, limit)
    more = bool(chain) and chain[-1]["at"] < end["position"]
    told = {
        **_event(call.services, partition, proved[0]),
        "rule": RULE,
        "log": end["log"],
        "partition_head": {"position": format_position(end["position"]), "hash": bytes(end["hash"]).hex()},
        "chain": [_shown(link) for link in chain],
        "next_cursor": pages.encode([chain[-1]["at"]]) if more else None,
    }
    return Json(told)


async def _links(services: Services, org: str, partition: int, first: int, limit: int) -> list[Row]:
    """The links from position `first` on, at most `limit`; `at` is a link's position as a number."""
    asked = {"org": org, "partition": partition, "first": first, "limit": limit}
    rows = await services.rows_of_all(_LINKS, asked)
    before = bytes(rows.pop(0)["hash"]) if rows and rows[0]["position"] < first else GENESIS
    found = []
    for row in rows:
        head = _head(partition, row) if row["own"] else None
        found.append({**row, "at": row["position"], "previous": before, "head": head})
        before = bytes(row["hash"])
    return found


def _head(partition: int, row: Row) -> str:
    time_us = microseconds(row["time"])
    return head_of(
        partition, row["position"], row["org"], row["stream"], row["version"], row["type"], time_us, len(row["data"])
    )


def _shown(link: Row) -> dict[str, Any]:
    told: dict[str, Any] = {
        "position": format_position(link["at"]),
        "previous_hash": link["previous"].hex(),
        "hash": bytes(link["hash"]).hex(),
        "own": link["own"],
    }
    if link["own"]:
        told |= {"head": link["head"], "bytes": b64encode(link["data"]).decode()}
    return told


def _event(services: Services, partition: int, link: Row) -> dict[str, Any]:
    return {
        **_shown(link),
        "partition": partition,
        "org": link["org"],
        "stream": link["stream"],
        "version": link["version"],
        "type": link["type"],
        "time": link["time"],
        "time_us": microseconds(link["time"]),
        "kafka": {
            "topic": topic_name(services.settings, LEDGER),
            "partition": partition,
            "key": f"{link['org']}/{link['stream']}",
        },
    }


def _position(text: str) -> int:
    try:
        return parse_position(text)
    except ValueError:
        raise invalid("position", "must be the position of an earlier answer") from None
