"""`scrip verify`: the auditor's check of everything against everything."""

from __future__ import annotations

from typing import Any

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url


def verify(
    org: Org = DEFAULT_ORG, data: Data = DEFAULT_DATA, url: Url = "", token: Token = "", as_json: Json = False
) -> None:
    """Recompute the hash chain, compare store, Kafka and read models, and fold the log with independent code.

    Checks all organisations. Says what was checked, with counts; exit status 1 and the first difference when
    something is off.
    """
    from cli.audit import audit, show_audit
    from cli.output import say_json
    from cli.service.reach import reached

    with reached(data, org, url=url, token=token, roles=("relay", "projector")) as service:
        if service.settings is None:
            answer: dict[str, Any] = service.api.get("/api/v1/audit/verify")
            say_json(answer)
            holds = bool(answer["ok"])
        else:
            report = audit(service.settings)
            holds = report.ok
            if as_json:
                say_json(report.as_json())
            else:
                show_audit(report)
    if not holds:
        raise typer.Exit(1)
