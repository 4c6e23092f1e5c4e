"""How an operator's command gets at a service: a remote one, the one that runs in the data folder, or its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from cli.api_client import Api
from cli.failure import Failure
from cli.options import DEFAULT_ORG
from cli.output import complain
from cli.service.settings import settings_of
from cli.service.tokens import signed_token
from infra.embedded.errors import DataFolderInUse
from infra.embedded.folder import noted_elsewhere, read_running
from infra.settings import Settings

START_S = 150.0  # a first start makes a database and may have to wait for the disk
POLL_S = 0.2
ELSEWHERE_S = 5.0  # a copy that another command starts has its own note sooner
OPERATOR = "operator"  # the `sub` of the tokens that operators' commands sign for themselves


@dataclass(frozen=True, slots=True)
class Reached:
    """A service within reach: its API as an admin; `settings` is None for a remote one, known by its address alone."""

    api: Api
    settings: Settings | None


@contextmanager
def reached(
    data: Path, org: str | None, *, url: str = "", token: str = "", roles: Sequence[str] | None = None
) -> Iterator[Reached]:
    """The service for a command; one that had to be started for it (with `roles`, by default all) ends with it.

    `org` None: that of the token, for a remote service. A service that is still starting, or that another command has
    started for itself, is waited for. Raises Failure and whatever starting a service raises.
    """
    if url:
        if not token:
            raise Failure("With --url a token is needed: --token, or the variable SCRIP_TOKEN.")
        with Api(url, token, org) as api:
            yield Reached(api, None)
        return
    org = DEFAULT_ORG if org is None else org
    with ExitStack() as stack:
        url, settings = _running_or_started(data, roles, stack)
        yield stack.enter_context(_as_admin(url, settings, org))


def _running_or_started(data: Path, roles: Sequence[str] | None, stack: ExitStack) -> tuple[str, Settings]:
    """Address and settings of the service that runs in the folder, or of one of our own, which ends with `stack`."""
    from cli.service.service import ROLES, Service

    began = monotonic()
    deadline = began + START_S
    said = False
    while True:
        running = read_running(data)
        if running is not None and "ready" in running.addresses:
            return running.addresses["ready"], settings_of(data)
        if running is None:
            if not data.exists():
                raise Failure(f"There is no service in {data}; `scrip up --data {data}` makes one.")
            complain(f"no service runs on {data}; starting one for this command")
            try:
                asked = ROLES if roles is None else roles
                service = stack.enter_context(Service(data, roles=asked, notice=complain))
            except DataFolderInUse as in_use:  # another process was first; what it runs is noted in a moment
                _wait_for_owner(data, monotonic() - began, in_use)
            else:
                return service.url, service.settings
        elif monotonic() > deadline:
            raise Failure(
                f"The service that process {running.owner.pid} runs on {data} is not ready after {START_S:.0f} s; see"
                f" what that process says, and the logs in {data / 'logs'}."
            )
        if not said:
            complain(f"the service on {data} is not ready yet; waiting for it, at most {START_S:.0f} s")
            said = True
        sleep(POLL_S)


def _wait_for_owner(data: Path, waited_s: float, in_use: DataFolderInUse) -> None:
    """Raise what there is to say once the owner's note should be there; it may be in a container of its own."""
    elsewhere = noted_elsewhere(data)
    if elsewhere is not None and waited_s > ELSEWHERE_S:
        raise Failure(f"{data} is in use, and its note {elsewhere.why}: ask that service by --url.") from in_use
    if waited_s > START_S:
        raise in_use


@contextmanager
def _as_admin(url: str, settings: Settings, org: str) -> Iterator[Reached]:
    token = signed_token(settings, org=org, sub=OPERATOR, role="admin", ttl_s=3600)
    with Api(url, token, org) as api:
        yield Reached(api, settings)
