"""`scrip doctor`: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.options import DEFAULT_DATA, DEFAULT_ORG, Data, Json, OwnOrg, Token, Url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.doctor.codes import Finding


def doctor(
    org: OwnOrg = None, data: Data = DEFAULT_DATA, url: Url = "", token: Token = "", as_json: Json = False
) -> None:
    """Find what is wrong with an installation and say what to do; exit status 1 when something is.

    Examines what the SCRIP_ variables name where SCRIP_WRITER_URL is set, else the service in --data, else (with
    --url and an admin's or auditor's token) what a remote service tells of itself.
    """
    from cli.output import say, say_json

    examined: list[str] = []
    findings: list[Finding] = []
    for family, found in _examination(org, data, url, token):
        examined.append(family)
        findings += found
    wrong = any(finding.severity == "wrong" for finding in findings)
    told = [finding.as_json() for finding in findings]
    if as_json:
        say_json({"ok": not wrong, "examined": examined, "findings": told})
    else:
        for each in told:
            say(f"{each['severity']:5}  {each['code']}: {each['seen']}")
            say(f"       {each['meaning']} {each['action']} ({each['runbook']})")
        say(f"examined {', '.join(examined)}: {'nothing is wrong' if not wrong else 'something is WRONG'}")
    if wrong:
        raise typer.Exit(1)


def _examination(org: str | None, data: Path, url: str, token: str) -> Iterator[tuple[str, list[Finding]]]:
    """Each family with what it found."""
    from contextlib import ExitStack

    from cli.doctor.codes import Finding
    from cli.doctor.examine import examine_remote, families
    from cli.failure import sentence
    from cli.service.reach import reached
    from infra.settings import Settings

    if not url and Settings().writer_url.get_secret_value():
        for name, check in families(Settings(), None):
            yield name, list(check())
        return
    with ExitStack() as stack:
        try:
            service = stack.enter_context(reached(data, org if url else org or DEFAULT_ORG, url=url, token=token))
        except Exception as error:
            said = sentence(error)
            if said is None:
                raise
            yield "start", [Finding("server-does-not-start", said)]
            return
        if service.settings is None:
            yield "the service's own figures", list(examine_remote(service.api))
            return
        for name, check in families(service.settings, data, service.api.url):
            yield name, list(check())
