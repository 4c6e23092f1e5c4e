"""`scrip events`: the log, as an auditor reads it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url

COLUMNS = ("position", "time", "type", "account", "credits", "actor")


def events(
    stream: Annotated[str | None, typer.Option(help="Only this stream, e.g. account/user:u_42:credits.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only this type, e.g. credits-reserved.v1.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this actor did.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="From this time on (RFC 3339).", metavar="TIME")] = None,
    to: Annotated[str | None, typer.Option(help="Up to this time (RFC 3339).", metavar="TIME")] = None,
    after: Annotated[str | None, typer.Option(help="Only what follows this position.", metavar="POSITION")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    org: Org = DEFAULT_ORG,
    data: Data = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List an organisation's events in the order in which they happened."""
    from cli.output import say_json, say_table
    from cli.service.reach import reached
    from domain.credits.address import STREAM_PREFIX

    with reached(data, org, url=url, token=token, roles=("api",)) as service:
        found = list(
            service.api.pages(
                "/api/v1/events",
                limit,
                **{"stream": stream, "type": type_, "actor": actor, "from": from_, "to": to, "after": after},
            )
        )
    if as_json:
        say_json(found)
        return
    rows = [
        (
            event["position"].lstrip("0"),
            event["time"][:19].replace("T", " "),
            event["type"],
            event["stream"].removeprefix(STREAM_PREFIX),
            _amount(event.get("data") or {}),
            event["actor"],
        )
        for event in found
    ]
    say_table(f"Events of {org} (all of each: --json)", COLUMNS, rows)


def _amount(facts: dict[str, Any]) -> int | None:
    """The credits that an event is about; a grant's stand in its terms (domain/credits/events.py, Slice)."""
    terms = facts.get("grant")
    amount = terms[1] if isinstance(terms, list) else facts.get("amount")
    return amount if isinstance(amount, int) else None
