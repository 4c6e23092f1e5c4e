"""`scrip token`: a signed token for trying the API by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org


def token(
    sub: Annotated[str, typer.Option("--sub", help="Whose token: the user's or worker's id.", metavar="USER")],
    role: Annotated[
        str, typer.Option("--role", help="user, worker, org_admin, auditor or admin.", metavar="ROLE")
    ] = "user",
    org: Org = DEFAULT_ORG,
    ttl: Annotated[int, typer.Option("--ttl", min=1, max=31_536_000, help="Seconds until it expires.")] = 43_200,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Print a signed token, alone on the last line, for trying the API by hand."""
    from cli.output import say, say_json
    from cli.service.secrets import secrets_of
    from cli.service.settings import as_served, with_keys
    from cli.service.tokens import signed_token
    from infra.settings import Settings

    known = secrets_of(data)
    settings = as_served(with_keys(Settings(), known), data, known)
    signed = signed_token(settings, org=org, sub=sub, role=role, ttl_s=ttl)
    if as_json:
        say_json({"token": signed, "org": org, "sub": sub, "role": role, "expires_in": ttl})
    else:
        say(signed)
