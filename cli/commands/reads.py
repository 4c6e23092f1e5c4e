"""`scrip balance`, `events` and `explain`: questions to the API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url

FIGURES = (
    *("granted", "transferred_in", "debited", "refunded", "expired", "voided", "transferred_out"),
    *("reserved", "available", "shortfall", "overdrawn"),
)

GRANT = ("grant_id", "source", "priority", "expires_at", "amount")


def balance(
    address: Annotated[str, typer.Argument(help="The account, for example user:u_42:credits.", metavar="ADDRESS")],
    org: Org = DEFAULT_ORG,
    data: Data = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show an account's balance and what is left of its grants, as of now."""
    from cli.api_client import in_path
    from cli.output import say, say_json, say_table
    from cli.service.reach import reached

    with reached(data, org, url=url, token=token, roles=("api",)) as service:
        found = service.api.get(f"/api/v1/accounts/{in_path(address)}/balance")
    if as_json:
        say_json(found)
        return
    if found.get("exists") is False:
        say(f"{address} has had no grant yet.")
    say_table(address, ("", "credits"), [(name, found[name]) for name in FIGURES if name in found])
    grants = found.get("grants") or []
    if grants:
        say_table("Grants", GRANT, [[grant.get(name) for name in GRANT] for grant in grants])


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


CHECK = ("resource", "subject", "ok", "needed", "available", "limit", "deficit")
HELD = ("resource", "where", "unit", "amount")
PAYMENT = ("account", "grant_id", "source", "amount")


def explain(
    generation_id: Annotated[str, typer.Argument(help="The generation, by its id.", metavar="GENERATION_ID")],
    org: Org = DEFAULT_ORG,
    data: Data = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Explain a generation from the log: why it was allowed or refused, which grants paid, and what happened since."""
    from cli.api_client import in_path
    from cli.output import say_json
    from cli.service.reach import reached

    with reached(data, org, url=url, token=token, roles=("api",)) as service:
        found = service.api.get(f"/api/v1/generations/{in_path(generation_id)}/explain")
    if as_json:
        say_json(found)
    else:
        _for_people(found)


def _for_people(found: dict[str, Any]) -> None:
    from cli.output import say, say_table

    named = " ".join(str(found[name]) for name in ("operation", "provider", "model") if found.get(name))
    say(f"{found['generation_id']}: {named}, for {found['user_id']}; it is {found['status'].replace('_', ' ')}.")
    say(found["decision"])
    if found["checks"]:
        say_table("What was checked", CHECK, [[_of_check(check, name) for name in CHECK] for check in found["checks"]])
    if found["holds"]:
        rows = [[each["resource"], _where(each), each["unit"], each["amount"]] for each in found["holds"]]
        say_table("What was held", HELD, rows)
    for title, parts in (("Held from these grants", found["held_from"]), ("Paid by these grants", found["paid_by"])):
        if parts:
            say_table(title, PAYMENT, [[part.get(name) for name in PAYMENT] for part in parts])
    say_table(
        "What happened", ("at", "by", ""), [[each["at"], each["actor"], each["text"]] for each in found["history"]]
    )


def _of_check(check: dict[str, Any], name: str) -> object:
    """The check's figure in its form for people, where it has one."""
    if name == "ok":
        return "yes" if check["ok"] else "NO"
    return check["formatted"].get(name, check[name])


def _where(held: dict[str, Any]) -> str:
    return next((f"{kind} {held[kind]}" for kind in ("account", "user", "group") if held.get(kind)), "")
