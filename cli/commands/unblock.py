"""`scrip unblock`: a partition whose next event is too large for Kafka goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json

if TYPE_CHECKING:
    from pathlib import Path

    from infra.relay.unblocking import Limits, Stopped
    from infra.settings import Settings

PATIENCE_S = 60.0  # for the relay, which tries again every few seconds
POLL_S = 0.25
LOOK_S = 2.0  # between two looks at whether the limit is still large enough

Partition = Annotated[
    int | None, typer.Option("--partition", min=0, max=511, help="Only this one; without it all that stand still.")
]


def unblock(partition: Partition = None, data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Let partitions go on whose next event is too large for Kafka.

    Raises `max.message.bytes` of the ledger's topic, and nothing else, to what the largest event that waits needs; the
    relay then goes on by itself, and this command waits until it has. No event is left out or changed. Uses what the
    SCRIP_ variables name where SCRIP_AUDITOR_URL is set, else the service in --data. Exit status 1 where a partition
    still stands still, or does so for another reason.
    """
    from cli.output import say, say_json
    from infra.settings import Settings

    here = Settings()
    told = _unblocked(here, partition) if here.auditor_url.get_secret_value() else _in_folder(data, partition)
    if as_json:
        say_json({"ok": all(each["published"] for each in told), "partitions": told})
    else:
        for each in told:
            say(each["message"])
        if not told:
            say("No partition stands still.")
    if not all(each["published"] for each in told):
        raise typer.Exit(1)


def _in_folder(data: Path, partition: int | None) -> list[dict[str, Any]]:
    from cli.failure import Failure
    from cli.service.reach import reached

    with reached(data, DEFAULT_ORG, roles=("relay",)) as service:
        if service.settings is None:
            raise Failure("A remote service cannot be unblocked from here.")
        return _unblocked(service.settings, partition)


def _unblocked(settings: Settings, partition: int | None) -> list[dict[str, Any]]:
    """Make room for what is too large, and wait until it is published. Raises Failure, KafkaError, psycopg.Error."""
    from cli.failure import Failure
    from infra.relay.unblocking import stopped_partitions

    stops = stopped_partitions(settings, partition)
    try:
        limits, left = _make_room(settings, partition, stops)
    except TimeoutError:
        raise Failure("Kafka did not take the topic's new limit in time; run the command again.") from None
    still = {(stop.partition, stop.position) for stop in left}
    known = {(stop.partition, stop.position) for stop in stops}
    told = []
    for stop in [*stops, *(stop for stop in left if (stop.partition, stop.position) not in known)]:
        published = (stop.partition, stop.position) not in still
        where = f"partition {stop.partition}, event {stop.position}"
        if limits is None or not stop.size:
            message = f"{where}: its size is not the reason, so there is no room to make: {stop.reason}"
        else:
            message = (
                f"{where}: {stop.size:,} bytes as a record; the topic took {limits.before:,} and takes {limits.now:,};"
                f" {'published' if published else 'NOT published yet: does a relay run?'}"
            )
        told.append({**stop._asdict(), "published": published, "message": message})
    return told


def _make_room(settings: Settings, partition: int | None, left: list[Stopped]) -> tuple[Limits | None, list[Stopped]]:
    """Make room until none of those that are `left` stands still for its size, or for PATIENCE_S.

    Returns the topic's limits, none where size was no reason, and who is left then. It looks again and again: the next
    event may be larger, and somebody else may lower the limit. Raises TimeoutError, KafkaError, psycopg.Error.
    """
    from time import monotonic, sleep

    from infra.relay.unblocking import Limits, make_room, stopped_partitions

    until, look_at = monotonic() + PATIENCE_S, 0.0
    limits: Limits | None = None
    size = 0
    while (largest := max((stop.size for stop in left), default=0)) and monotonic() < until:
        if largest > size or monotonic() >= look_at:
            size = max(largest, size)
            found = make_room(settings, size)
            limits = found if limits is None else Limits(limits.before, found.now)
            look_at = monotonic() + LOOK_S
        sleep(POLL_S)
        left = stopped_partitions(settings, partition)
    return limits, left
