"""`scrip explain`: why a generation was allowed or refused, which grants paid, and what happened since."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url

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
