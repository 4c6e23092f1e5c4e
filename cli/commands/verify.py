"""`scrip verify`: the auditor's check of everything against everything."""

from __future__ import annotations

from typing import Any

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, Org, Token, Url

VERIFY_S = 3_600.0  # a remote service answers when it has checked all of its log


def verify(
    org: Org = DEFAULT_ORG, data: Data = DEFAULT_DATA, url: Url = "", token: Token = "", as_json: Json = False
) -> None:
    """Recompute the hash chain, compare store, Kafka and read models, and fold the log with independent code.

    Checks all organisations. Says what was checked, with counts; exit status 1 and the first difference when
    something is off.
    """
    from cli.audit import audit, show_audit
    from cli.output import say_json, status
    from cli.service.reach import reached

    with reached(data, org, url=url, token=token, roles=("relay", "projector")) as service:
        report: dict[str, Any]
        if service.settings is None:
            with status("verifying"):
                report = service.api.get_within("/api/v1/audit/verify", VERIFY_S)
        else:
            report = audit(service.settings).as_json()
    if as_json:
        say_json(report)
    else:
        show_audit(report)
    if not report["ok"]:
        raise typer.Exit(1)
