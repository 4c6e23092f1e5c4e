"""How an operator's command gets at a service: a remote one, the one that runs in the data folder, or its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.api_client import Api
from cli.failure import Failure
from cli.output import complain
from cli.service.settings import settings_of
from cli.service.tokens import signed_token
from infra.embedded.folder import read_running
from infra.settings import Settings

OPERATOR = "operator"  # the `sub` of the tokens that operators' commands sign for themselves


@dataclass(frozen=True, slots=True)
class Reached:
    """A service within reach: its API as an admin; `settings` is None for a remote one, known by its address alone."""

    api: Api
    settings: Settings | None

    def need_settings(self, command: str) -> Settings:
        """The settings, for a command that needs more than the API. Raises Failure for a remote service."""
        if self.settings is None:
            raise Failure(f"`scrip {command}` needs the service's database; run it where that is, without --url.")
        return self.settings


@contextmanager
def reached(
    data: Path, org: str, *, url: str = "", token: str = "", roles: Sequence[str] | None = None
) -> Iterator[Reached]:
    """The service for a command; one that had to be started for it (with `roles`, by default all) ends with it.

    Raises Failure and whatever starting a service raises.
    """
    if url:
        if not token:
            raise Failure("With --url a token is needed: --token, or the variable SCRIP_TOKEN.")
        with Api(url, token, org) as api:
            yield Reached(api, None)
        return
    running = read_running(data)
    if running is not None and "ready" in running.addresses:
        with _as_admin(running.addresses["ready"], settings_of(data), org) as found:
            yield found
        return
    if not data.exists():
        raise Failure(f"There is no service in {data}; `scrip up --data {data}` makes one.")
    from cli.service.service import ROLES, Service

    complain(f"no service runs on {data}; starting one for this command")
    with (
        Service(data, roles=ROLES if roles is None else roles) as service,
        _as_admin(service.url, service.settings, org) as found,
    ):
        yield found


@contextmanager
def _as_admin(url: str, settings: Settings, org: str) -> Iterator[Reached]:
    token = signed_token(settings, org=org, sub=OPERATOR, role="admin", ttl_s=3600)
    with Api(url, token, org) as api:
        yield Reached(api, settings)
