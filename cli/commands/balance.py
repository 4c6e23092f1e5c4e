"""`scrip balance`: what an account has."""

from __future__ import annotations

from typing import Annotated

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
