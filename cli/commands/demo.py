"""`scrip demo`: the whole flow, live, on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_DATA, Data, Json, KafkaPort, Port

if TYPE_CHECKING:
    from cli.demo.show import Shown
    from cli.service.service import Service
    from infra.audit.report import Report


def demo(
    port: Port = None,
    kafka_port: KafkaPort = None,
    data: Data = DEFAULT_DATA,
    leave: Annotated[bool, typer.Option("--exit", help="Stop when it is done; status 0 only if all is right.")] = False,
    generations: Annotated[int, typer.Option(min=1, max=100_000, help="How many generations to simulate.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed gives the same traffic.")] = 1,
    as_json: Json = False,
) -> None:
    """Start everything and watch it work: simulated users and generation workers, then all figures and the audit.

    Organisations on three plans, with groups, budgets and storage limits. Users and workers ask for generations over
    HTTP with real prices; workers report through Kafka. Some generations fail, some are never reported, some are
    reported twice or too late, and some users ask for what they cannot have: one for each kind of refusal. Then
    every figure is compared with what it must be, and `verify` checks everything against everything.
    """
    from cli.commands.start import announce, run_service
    from cli.output import complain
    from cli.service.interrupt import run_until_interrupted

    passed = False

    def show(service: Service) -> None:
        nonlocal passed
        if not as_json:
            announce(service)
        passed = _run(service, generations, seed, as_json=as_json)
        if not leave:
            complain("the service goes on; Ctrl-C stops it")
            run_until_interrupted(service.tend)

    run_service(data, port, kafka_port, show)
    if not passed:
        raise typer.Exit(1)


def _run(service: Service, generations: int, seed: int, *, as_json: bool) -> bool:
    """The demo on a running service: whether everything came out as it must."""
    from cli.commands.operate import audit
    from cli.demo.show import run_demo

    shown = run_demo(service, generations, seed)
    report = audit(service.settings)
    if as_json:
        _as_json(shown, report, service.url)
    else:
        _for_people(shown, report, service.url)
    return shown.result.as_expected and report.ok


def _as_json(shown: Shown, report: Report, url: str) -> None:
    from cli.demo.figures import as_json
    from cli.output import say_json

    tally, result = shown.tally, shown.result
    say_json(
        {
            "generations": tally.held,
            "seconds": round(tally.seconds, 3),
            "messages": tally.messages,
            "events": result.events,
            "quarantined": result.quarantined,
            "users": [as_json(user) for user in result.users],
            "groups": [as_json(group) for group in result.groups],
            "organisations": result.organisations,
            "refusals": [refusal._asdict() for refusal in shown.refusals],
            "differences": result.differences,
            "verify": report.as_json(),
            "url": url,
        }
    )


def _for_people(shown: Shown, report: Report, url: str) -> None:
    from cli.demo.plan import Fate
    from cli.demo.show import screen
    from cli.output import console, say

    place, tally = console(), shown.tally
    place.print(screen(shown, place.width))
    say(
        f"{tally.rate:.0f} generations/s begun by simulated users and workers; {tally.requests:,} requests and"
        f" {tally.messages:,} messages in {tally.seconds:.1f} s, the wait for what expires included"
    )
    for difference in shown.result.differences:
        say(f"DIFFERENT: {difference}")
    for section in report.sections:
        if section.difference is not None:
            say(f"{section.name}: {section.difference}")
    checked = sum(sum(section.checked.values()) for section in report.sections)
    if report.ok:
        say(f"verify holds: {len(report.sections)} sections, {checked:,} things checked against each other")
    else:
        say("verify FAILED")
    generations = shown.plan.generations
    # One with a story to tell: several resources, and settled late.
    told = max(generations, key=lambda each: (each.fate is Fate.TOO_LATE, each.item.operation == "video"))
    say(f"why one of them was allowed, and what became of it: scrip explain {told.id} --org {told.org}")
    say(f"console: {url}/ (sign in as anybody)")
    say(f"API documentation: {url}/api/docs")
