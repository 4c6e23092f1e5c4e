"""`scrip import`: charges a usage file through `scrip.usage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org

if TYPE_CHECKING:
    from cli.importing.outcome import Tally
    from cli.importing.rows import Form


def import_usage(
    file: Annotated[Path, typer.Argument(help="A CSV file with a header.", metavar="FILE", dir_okay=False)],
    account: Annotated[
        str | None, typer.Option("--account", help="The account that pays, e.g. user:trace:credits.", metavar="ADDRESS")
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option("--rate", help="Credits per 1,000 units of a column; may be repeated.", metavar="COLUMN=CREDITS"),
    ] = None,
    org: Org = DEFAULT_ORG,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Charge a usage file: each row once, however often it is imported, and whatever interrupts it.

    With --rate each row costs the sum of COLUMN x CREDITS per 1,000, rounded up per row. Without, the file has the
    columns time, user, operation, provider, model, amount (any of them), every other column is an option such as
    resolution or duration, and the price book prices each row. Returns when every row is charged or visibly
    refused (exit status 1 if any was); refused rows are tried again by importing again.
    """
    import asyncio

    from cli.importing.rows import read_rows
    from cli.importing.send import Importer
    from cli.output import progress, say_json
    from cli.service.reach import reached

    form = _form(account, rate or [], org)
    total = sum(1 for _ in read_rows(file, form))  # a file with a faulty line is refused before anything is sent
    with reached(data, org, roles=("api", "intake", "relay", "projector")) as service, progress() as bar:
        settings = service.need_settings("import")
        task = bar.add_task("importing", total=total, rate="")

        def seen(tally: Tally) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=tally.decided, rate=f"{speed:,.0f} rows/s" if speed else "")

        tally = asyncio.run(Importer(settings, org, seen).run(read_rows(file, form)))
    if as_json:
        say_json(tally.as_json())
    else:
        _show(tally)
    if tally.refused:
        raise typer.Exit(1)


def _form(account: str | None, rate: list[str], org: str) -> Form:
    from cli.failure import Failure
    from cli.importing.identity import source_of
    from cli.importing.rows import ByPriceBook, ByRates, parse_rates
    from domain.credits.address import parse_address

    if account is not None:
        try:
            parse_address(account)
        except ValueError as error:
            raise Failure(f"--account {account}: {error}.") from error
        if len(source_of(org, account)) > 255:
            raise Failure(f"--account {account}: it is too long together with the organisation's name.")
    if not rate:
        return ByPriceBook(account)
    if account is None:
        raise Failure("With --rate an account is needed: --account ADDRESS.")
    return ByRates(account, parse_rates(rate))


def _show(tally: Tally) -> None:
    from cli.output import say_table

    rows: list[tuple[str, int | str]] = [
        ("rows", tally.rows),
        ("sent", tally.sent),
        ("applied", tally.applied),
        ("already applied", tally.already),
        ("refused", tally.refused),
        ("credits debited", tally.credits),
    ]
    if tally.free:
        rows.insert(4, ("cost nothing", tally.free))
    if tally.already:
        rows.append(("debited before", tally.already_credits))
    say_table("Import", ("", "count"), rows)
    if tally.reasons:
        say_table(
            "Refused rows wait in quarantine; import the file again once the reason is gone",
            ("reason", "rows", "for example"),
            [(reason, count, tally.details[reason]) for reason, count in sorted(tally.reasons.items())],
        )
