"""`scrip import`: charges a usage file through `scrip.usage`."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failure import Failure
from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url

if TYPE_CHECKING:
    from cli.importing.rows import Checked, Reading
    from cli.importing.send import Tally
    from cli.importing.source import UsageFile
    from cli.service.reach import Reached
    from infra.settings import Settings

MAX_SHOWN = 50  # lines of the table of a dry run


File = Annotated[
    Path,
    typer.Argument(
        help="A CSV file with a header; - for standard input.", metavar="FILE", dir_okay=False, allow_dash=True
    ),
]
Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        help="The account that pays, e.g. user:trace:credits; {COLUMN} stands for a row's cell.",
        metavar="ADDRESS",
    ),
]
Rate = Annotated[
    list[str] | None,
    typer.Option("--rate", help="Credits per 1,000 units of a column; may be repeated.", metavar="COLUMN=CREDITS"),
]
Usage = Annotated[
    list[str] | None,
    typer.Option("--usage", help="A column of units, by their name in the price book.", metavar="COL[=UNIT]"),
]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", help="A column with an option, by its name in the price book.", metavar="COL[=NAME]"),
]
Ignore = Annotated[
    list[str] | None, typer.Option("--ignore", help="A column that has no part in the price.", metavar="COL")
]
Id = Annotated[
    str | None, typer.Option("--id", help="The column that is a row's identity, in place of all.", metavar="COL")
]
Time = Annotated[
    str | None, typer.Option("--time", help="The column that says when it was used; else `time`.", metavar="COL")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost; send nothing.")]
Kafka = Annotated[
    str, typer.Option("--kafka", envvar="SCRIP_KAFKA", help="With --url: the service's brokers.", metavar="HOST:PORT")
]
Postgres = Annotated[
    str,
    typer.Option(
        "--postgres", envvar="SCRIP_AUDITOR_URL", help="With --url: its database, a login that reads.", metavar="URI"
    ),
]


def import_usage(
    file: File,
    account: Account = None,
    rate: Rate = None,
    usage: Usage = None,
    option: Option = None,
    ignore: Ignore = None,
    id_: Id = None,
    time: Time = None,
    dry_run: DryRun = False,
    org: Org = DEFAULT_ORG,
    data: Data = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    kafka: Kafka = "",
    postgres: Postgres = "",
    as_json: Json = False,
) -> None:
    """Charge a usage file: each row once, however often it is imported, and whatever interrupts it.

    With --rate each row costs the sum of COLUMN x CREDITS per 1,000, rounded up per row. Without, the file has the
    columns time, user, account, operation, provider, model, amount (any of them), columns named as units of the price
    book (input_tokens, seconds, …) are usage and priced by its rates, those named as options (resolution, duration, …)
    are options; any other column must be named by --usage, --option or --ignore. All lines are checked before the
    first is sent: where one is wrong, nothing is charged. Returns when every row is charged or visibly refused (exit
    status 1 if any was); refused rows are tried again by importing again.

    A remote service is named by --url and --token (a worker's), --kafka and --postgres: its rows go through the same
    `scrip.usage`, so that a row is charged once whichever way it is imported.
    """
    from cli.importing.source import usage_file
    from cli.output import say_json

    named = {"--usage": usage or [], "--option": option or [], "--ignore": ignore or []}
    with ExitStack() as stack:
        opened = stack.enter_context(usage_file(file))
        reach = partial(_service, data, org, url, token)
        service = None if rate else stack.enter_context(reach(dry_run=dry_run))
        reading = _reading(account, rate or [], named, org, service, id_, time)
        checked = _checked(opened, reading, as_json=as_json)
        if dry_run:
            _show_sum(checked, as_json=as_json)
            if checked.unpriced:
                raise typer.Exit(1)
            return
        if service is None:
            service = stack.enter_context(reach())
        settings = service.settings or _remote(kafka, postgres)
        tally = _run(settings, token if url else "", opened, reading, checked)
    if as_json:
        say_json(tally.as_json())
    else:
        _show(tally)
    if tally.refused:
        raise typer.Exit(1)


def _service(data: Path, org: str, url: str, token: str, *, dry_run: bool = False) -> AbstractContextManager[Reached]:
    from cli.service.reach import reached

    return reached(
        data, org, url=url, token=token, roles=("api",) if dry_run else ("api", "intake", "relay", "projector")
    )


def _remote(kafka: str, postgres: str) -> Settings:
    """How a remote service is reached beside its API; what is not given is from the SCRIP_KAFKA_ variables."""
    from pydantic import SecretStr

    from infra.settings import Settings

    if not kafka or not postgres:
        raise Failure(
            "An import goes through the service's Kafka, and looks into its database for what became of each row:"
            " with --url say --kafka HOST:PORT and --postgres URI too (`scrip up` prints both)."
        )
    return Settings().model_copy(update={"kafka": kafka, "auditor_url": SecretStr(postgres)})


def _run(settings: Settings, token: str, file: UsageFile, reading: Reading, checked: Checked) -> Tally:
    import asyncio

    from cli.importing.rows import rows_of
    from cli.importing.send import Importer
    from cli.output import progress

    with progress() as bar:
        task = bar.add_task("importing", total=checked.rows, rate="")

        def seen(tally: Tally) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=tally.decided, rate=f"{speed:,.0f} rows/s" if speed else "")

        importer = Importer(settings, reading.org, seen, token, own_ids=reading.id is not None)
        return asyncio.run(importer.run(rows_of(file, reading)))


def _reading(
    account: str | None,
    rate: list[str],
    named: dict[str, list[str]],
    org: str,
    service: Reached | None,
    id_: str | None,
    time: str | None,
) -> Reading:
    """How the file is to be read. Raises Failure for options that are wrong or do not go together."""
    from cli.importing.forms import ByPriceBook, ByRates, Form, check_account, parse_named, parse_rates
    from cli.importing.prices import Prices
    from cli.importing.rows import Reading

    if account is not None:
        check_account(account, org)
    form: Form
    if service is None:
        if account is None:
            raise Failure(
                "With --rate an account is needed: --account ADDRESS, for example user:trace:credits, or"
                " user:{user}:credits where the column user says who pays."
            )
        for option, given in named.items():
            if given:
                raise Failure(f"{option} is for files that the price book prices; with --rate the rates say it all.")
        form = ByRates(account, parse_rates(rate))
    else:
        form = ByPriceBook(
            account,
            Prices.of(service.api.get("/api/v1/prices")),
            parse_named("--usage", named["--usage"]),
            parse_named("--option", named["--option"]),
            frozenset(named["--ignore"]),
        )
    return Reading(form, org, id_, time)


def _checked(file: UsageFile, reading: Reading, *, as_json: bool) -> Checked:
    """Check all lines, and say what is no fault but good to know before it is charged. Raises WrongFile, Exit."""
    from cli.importing.rows import WrongFile, check_rows
    from cli.output import complain, say_json

    try:
        checked = check_rows(file, reading)
    except WrongFile as error:
        if as_json:
            say_json(error.checked.as_json())
            raise typer.Exit(1) from None
        raise
    for note in _notes(file, reading, checked):
        complain(note)
    return checked


def _notes(file: UsageFile, reading: Reading, checked: Checked) -> list[str]:
    """What is no fault, but what a person may want to know before it is charged."""
    notes = []
    if file.ends_in_line and checked.rows:
        notes.append(f"note: the last line of {file.name} has no line end; see that the file was not cut off there")
    if checked.unpriced:
        notes.append(
            f"note: {checked.unpriced:,} rows have no price and will be refused, first {checked.first_unpriced}"
        )
    has_time = reading.time is not None or "time" in file.header
    if has_time and checked.untimed:
        notes.append(f"note: {checked.untimed:,} rows have a time that cannot be read, and go without it")
    return notes


def _show_sum(checked: Checked, *, as_json: bool) -> None:
    from cli.output import say_json, say_table

    if as_json:
        say_json({"dry_run": True, **checked.as_json()})
        return
    by = sorted(checked.by.items(), key=lambda each: (-each[1][1], each[0]))
    lines: list[tuple[str, str, int, int]] = [
        (account, model, rows, credits_) for (account, model), (rows, credits_) in by[:MAX_SHOWN]
    ]
    if len(by) > MAX_SHOWN:
        rest = [counts for _, counts in by[MAX_SHOWN:]]
        lines.append((f"{len(rest):,} more", "", sum(rows for rows, _ in rest), sum(sum_ for _, sum_ in rest)))
    lines.append(("together", "", checked.rows, checked.credits))
    say_table("Nothing was sent; it would cost", ("account", "model", "rows", "credits"), lines)
    counts = [
        ("cost nothing", checked.free),
        ("repeated in the file", checked.repeated),
        ("no price", checked.unpriced),
    ]
    if any(count for _, count in counts):
        say_table("Of these", ("", "rows"), [(name, count) for name, count in counts if count])


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
    if tally.repeated:
        rows.insert(4, ("repeated in the file", tally.repeated))
    if tally.already:
        rows.append(("debited before", tally.already_credits))
    say_table("Import", ("", "count"), rows)
    if tally.reasons:
        say_table(
            "Refused rows wait in quarantine; import the file again once the reason is gone",
            ("reason", "rows", "for example"),
            [(reason, count, tally.details[reason]) for reason, count in sorted(tally.reasons.items())],
        )
