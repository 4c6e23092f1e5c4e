"""`scrip rebuild`: the read models made anew from the log."""

from __future__ import annotations

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org


def rebuild(org: Org = DEFAULT_ORG, data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Make a new generation of all read models from the log, beside the live one, and swap it in atomically.

    The service goes on meanwhile, and the read models of all organisations are made. Interrupted at any moment,
    it leaves the live generation as it is and can be started again.
    """
    from cli.output import progress, say, say_json
    from cli.service.reach import reached
    from consumers.rebuild import rebuild as rebuild_read_models

    with reached(data, org, roles=()) as service, progress() as bar:
        task = bar.add_task("rebuilding", total=None, rate="")

        def seen(done: int, total: int, rate: float) -> None:
            bar.update(task, completed=done, total=total, rate=f"{rate:,.0f} events/s")

        report = rebuild_read_models(service.need_settings("rebuild"), seen)
        bar.update(task, completed=report.events, total=report.events, rate=f"{report.rate:,.0f} events/s")
    if as_json:
        say_json({**report._asdict(), "events_per_second": round(report.rate)})
        return
    say(
        f"generation {report.generation} is live: {report.events:,} events in {report.seconds:.1f} s"
        f" ({report.rate:,.0f} events/s)"
    )
    for table, rows in sorted(report.rows.items()):
        say(f"  {table}: {rows:,} rows")
