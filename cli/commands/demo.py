"""`scrip demo`: the whole flow, live, on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_DATA, Json, KafkaPort, Port

if TYPE_CHECKING:
    from cli.service.service import Service


def demo(
    port: Port = None,
    kafka_port: KafkaPort = None,
    data: Annotated[
        Path, typer.Option("--data", envvar="SCRIP_DATA", help="The folder with the service's data.", metavar="DIR")
    ] = DEFAULT_DATA,
    leave: Annotated[bool, typer.Option("--exit", help="Stop when it is done; status 0 only if all is right.")] = False,
    generations: Annotated[int, typer.Option(min=1, max=100_000, help="How many generations to simulate.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed gives the same traffic.")] = 1,
    as_json: Json = False,
) -> None:
    """Start everything and watch it work: simulated users and generation workers, then balances and the audit.

    Users and workers reserve credits over HTTP with real prices; workers report through Kafka. Some generations
    fail, some are never reported, some are reported twice or too late. Then every balance is compared with what
    it must be, and `verify` checks everything against everything.
    """
    from cli.output import complain
    from cli.service.announce import announce, start_shown
    from cli.service.interrupt import Interrupted, interruptible, run_until_interrupted
    from cli.service.service import Service

    passed = False
    try:
        with interruptible():
            service = Service(data, port=port, kafka_port=kafka_port, notice=complain)
            with start_shown(service):
                if not as_json:
                    announce(service)
                passed = _run(service, generations, seed, as_json=as_json)
                if not leave:
                    complain("the service goes on; Ctrl-C stops it")
                    run_until_interrupted(service.tend)
    except Interrupted:
        complain("stopped")
    if not passed:
        raise typer.Exit(1)


def _run(service: Service, generations: int, seed: int, *, as_json: bool) -> bool:
    """The demo on a running service: whether everything came out as it must."""
    from cli.audit import audit, show_audit
    from cli.demo.show import run_demo, show_result
    from cli.output import say, say_json

    tally, result = run_demo(service, generations, seed)
    report = audit(service.settings)
    if as_json:
        say_json(
            {
                "generations": tally.reserved,
                "seconds": round(tally.seconds, 3),
                "messages": tally.messages,
                "events": result.events,
                "quarantined": result.quarantined,
                "balances": result.balances,
                "differences": result.differences,
                "verify": report.as_json(),
                "url": service.url,
            }
        )
    else:
        show_result(tally, result)
        show_audit(report)
        say(f"API documentation: {service.url}/api/docs")
    return result.as_expected and report.ok
