"""`scrip rebuild`: the read models made again from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url

if TYPE_CHECKING:
    from cli.api_client import Api

POLL_S = 0.5
PATIENCE_S = 600.0  # without any progress; a projector must be running
CURRENT = "/api/v1/rebuilds/current"


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
            told = _remote(service.api, seen)
            rows: dict[str, int] = {}
        else:
            report = rebuild_read_models(service.settings, seen)
            told = {**report._asdict(), "events_per_second": round(report.rate)}
            rows = report.rows
        bar.update(task, completed=told["events"], total=told["events"])
    if as_json:
        say_json(told)
        return
    say(
        f"generation {told['generation']} is live: {told['events']:,} events in {told['seconds']:.1f} s"
        f" ({told['events_per_second']:,} events/s)"
    )
    for table, count in sorted(rows.items()):
        say(f"  {table}: {count:,} rows")


def _remote(api: Api, seen: Any) -> dict[str, Any]:
    """Ask the service for a rebuild and watch it to its end. Raises Failure."""
    from datetime import datetime
    from time import monotonic, sleep

    from cli.failure import Failure

    asked = api.post("/api/v1/rebuilds", {})
    moved, before = monotonic(), -1
    while True:
        found = api.get(CURRENT)
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
        elif monotonic() - moved > PATIENCE_S:
            raise Failure(f"Rebuild {found['id']} does not get on for {PATIENCE_S:.0f} s; does a projector run?")
        sleep(POLL_S)
