"""`scrip verify`, `rebuild` and `unblock`: what an operator or auditor has the service do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failure import Failure
from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url

if TYPE_CHECKING:
    from pathlib import Path

    from cli.api_client import Api
    from infra.audit.report import Report
    from infra.relay.unblocking import Limits, Stopped
    from infra.settings import Settings


VERIFY_S = 3_600.0  # a remote service answers when it has checked all of its log
REBUILD_POLL_S = 0.5
REBUILD_PATIENCE_S = 600.0  # without any progress; a projector must be running
UNBLOCK_PATIENCE_S = 60.0  # for the relay, which tries again every few seconds
UNBLOCK_POLL_S = 0.25
UNBLOCK_LOOK_S = 2.0  # between two looks at whether the limit is still large enough


def audit(settings: Settings) -> Report:
    """Check everything against everything, with progress on standard error. Raises what reaching the servers raises."""
    from cli.output import status
    from cli.service.interrupt import run_async
    from domain.registry import SCRIP
    from infra.audit.runs import audited

    with status("verifying") as show:

        def seen(section: str, done: int, total: int) -> None:
            show(f"verifying: {section} {done:,}{f' of {total:,}' if total else ''}")

        return run_async(audited(settings, SCRIP.resources.kinds, "cli", seen))


def _show_audit(report: Mapping[str, Any]) -> None:
    """Show what was checked, with counts, and the first difference of each section. `report`: as JSON has it."""
    from cli.output import say, say_table

    rows = [
        (
            section["name"],
            "ok" if section["ok"] else "DIFFERENT",
            ", ".join(f"{count:,} {what}" for what, count in section["checked"].items()),
            f"{section['seconds']:.2f} s" if "seconds" in section else "",
        )
        for section in report["sections"]
    ]
    say_table("Verify", ("section", "", "checked", "time"), rows)
    for section in report["sections"]:
        found = section.get("first_difference")
        if found is not None:
            say(f"{section['name']}: {found['where']}: expected {found['expected']}, found {found['found']}")
    say("verify holds" if report["ok"] else "verify FAILED")


def verify(
    org: Org = DEFAULT_ORG, data: Data = DEFAULT_DATA, url: Url = "", token: Token = "", as_json: Json = False
) -> None:
    """Recompute the hash chain, compare store, Kafka and read models, and fold the log with independent code.

    Checks all organisations. Says what was checked, with counts; exit status 1 and the first difference when
    something is off.
    """
    from cli.output import say_json, status
    from cli.service.reach import reached

    with reached(data, org, url=url, token=token, roles=("relay", "projector")) as service:
        report: dict[str, Any]
        if service.settings is None:
            with status("verifying"):
                report = service.api.get_within("/api/v1/audit/verify", VERIFY_S)
        else:
            report = audit(service.settings).as_json()
    if as_json:
        say_json(report)
    else:
        _show_audit(report)
    if not report["ok"]:
        raise typer.Exit(1)


def rebuild(
    org: Org = DEFAULT_ORG, data: Data = DEFAULT_DATA, url: Url = "", token: Token = "", as_json: Json = False
) -> None:
    """Make a new generation of all read models from the log, beside the live one, and swap it in atomically.

    The service goes on meanwhile, and the read models of all organisations are made. Interrupted at any moment,
    it leaves the live generation as it is and can be started again. With --url a projector of the remote service
    does the work; an admin's token is needed.
    """
    from cli.output import progress, say, say_json
    from cli.service.reach import reached
    from consumers.rebuild import rebuild as rebuild_read_models

    with reached(data, org, url=url, token=token, roles=()) as service, progress() as bar:
        task = bar.add_task("rebuilding", total=None, rate="")

        def seen(done: int, total: int, rate: float) -> None:
            bar.update(task, completed=done, total=total, rate=f"{rate:,.0f} events/s")

        if service.settings is None:
            done = _remote_rebuild(service.api, seen)
        else:
            report = rebuild_read_models(service.settings, seen)
            done = {**report._asdict(), "events_per_second": round(report.rate)}
        bar.update(task, completed=done["events"], total=done["events"])
    if as_json:
        say_json(done)
        return
    say(
        f"generation {done['generation']} is live: {done['events']:,} events in {done['seconds']:.1f} s"
        f" ({done['events_per_second']:,} events/s)"
    )
    for table, count in sorted(done.get("rows", {}).items()):
        say(f"  {table}: {count:,} rows")


def _remote_rebuild(api: Api, seen: Any) -> dict[str, Any]:
    """Ask the service for a rebuild and watch it to its end. Raises Failure."""
    from datetime import datetime
    from time import monotonic, sleep

    asked = api.post("/api/v1/rebuilds", {})
    moved, before = monotonic(), -1
    while True:
        found = api.get("/api/v1/rebuilds/current")
        if found["id"] != asked["id"]:
            raise Failure(f"Rebuild {found['id']}, a newer one, is {found['state']}; ours is not shown any more.")
        if found["state"] == "failed":
            raise Failure(f"Rebuild {found['id']} failed: {found.get('error') or 'the service does not say why'}.")
        seen(found["done"], found["total"], found.get("events_per_second") or 0)
        if found["state"] == "done":
            began, ended = (datetime.fromisoformat(found[name]) for name in ("started_at", "ended_at"))
            return {
                "generation": found["generation"],
                "events": found["done"],
                "seconds": (ended - began).total_seconds(),
                "events_per_second": found.get("events_per_second") or 0,
            }
        if found["done"] != before:
            moved, before = monotonic(), found["done"]
        elif monotonic() - moved > REBUILD_PATIENCE_S:
            raise Failure(
                f"Rebuild {found['id']} does not get on for {REBUILD_PATIENCE_S:.0f} s; does a projector run?"
            )
        sleep(REBUILD_POLL_S)


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
    partitions = _unblocked(here, partition) if here.auditor_url.get_secret_value() else _in_folder(data, partition)
    if as_json:
        say_json({"ok": all(each["published"] for each in partitions), "partitions": partitions})
    else:
        for each in partitions:
            say(each["message"])
        if not partitions:
            say("No partition stands still.")
    if not all(each["published"] for each in partitions):
        raise typer.Exit(1)


def _in_folder(data: Path, partition: int | None) -> list[dict[str, Any]]:
    from cli.service.reach import reached

    with reached(data, DEFAULT_ORG, roles=("relay",)) as service:
        if service.settings is None:
            raise Failure("A remote service cannot be unblocked from here.")
        return _unblocked(service.settings, partition)


def _unblocked(settings: Settings, partition: int | None) -> list[dict[str, Any]]:
    """Make room for what is too large, and wait until it is published. Raises Failure, KafkaError, psycopg.Error."""
    from infra.relay.unblocking import stopped_partitions

    stops = stopped_partitions(settings, partition)
    try:
        limits, left = _make_room(settings, partition, stops)
    except TimeoutError:
        raise Failure("Kafka did not take the topic's new limit in time; run the command again.") from None
    still = {(stop.partition, stop.position) for stop in left}
    known = {(stop.partition, stop.position) for stop in stops}
    partitions = []
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
        partitions.append({**stop._asdict(), "published": published, "message": message})
    return partitions


def _make_room(settings: Settings, partition: int | None, left: list[Stopped]) -> tuple[Limits | None, list[Stopped]]:
    """Make room until no partition of `left` is stopped by a size, or for UNBLOCK_PATIENCE_S.

    Returns the topic's limits, none where size was no reason, and the partitions that are still stopped. It looks
    again and again: the next event may be larger, and an administrator may lower the limit. Raises TimeoutError,
    KafkaError, psycopg.Error.
    """
    from time import monotonic, sleep

    from infra.relay.unblocking import Limits, make_room, stopped_partitions

    until, look_at = monotonic() + UNBLOCK_PATIENCE_S, 0.0
    limits: Limits | None = None
    size = 0
    while (largest := max((stop.size for stop in left), default=0)) and monotonic() < until:
        if largest > size or monotonic() >= look_at:
            size = max(largest, size)
            found = make_room(settings, size)
            limits = found if limits is None else Limits(limits.before, found.now)
            look_at = monotonic() + UNBLOCK_LOOK_S
        sleep(UNBLOCK_POLL_S)
        left = stopped_partitions(settings, partition)
    return limits, left
