"""Under which names (`Host`) the service answers: while anybody may sign in as anybody, only under this machine's own.

A page of another site can let its own name point to 127.0.0.1 (DNS rebinding). The browser then takes our answers for
that page's own, with everything that a person at this machine may do. Such requests still carry the other name.
"""

from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem
from infra.settings import Settings


def is_loopback(name: str) -> bool:
    """Whether a host's name, without a port, can mean no other machine than this one."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """The name in a `Host` header: lower case, without the port, the brackets of IPv6 and the root's dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


class Hosts:
    """Loopback names, and those in SCRIP_ALLOWED_HOSTS."""

    def __init__(self, allowed: str) -> None:
        """`allowed`: names without ports, separated by commas."""
        self._allowed = frozenset(host_name(each) for each in allowed.split(",") if each.strip())

    def check(self, *given: bytes | None) -> None:
        """The values of `Host` and `X-Forwarded-Host`, None where there is none. Raises Problem (421)."""
        for value in given:
            if value is not None:
                self._look(value)

    def _look(self, value: bytes) -> None:
        for each in value.decode("latin-1").split(","):
            name = host_name(each)
            if name not in self._allowed and not is_loopback(name):
                raise Problem(
                    421,
                    "wrong_host",
                    "The service does not answer under this name. Use localhost, or add the name to"
                    " SCRIP_ALLOWED_HOSTS.",
                    field="Host",
                )


def of_whole_service(settings: Settings) -> Hosts | None:
    """The names for every request; None for any name: whoever has to sign in gains nothing by another one."""
    return Hosts(settings.allowed_hosts) if settings.development_login else None


def of_pages(settings: Settings, pages: ASGIApp) -> ASGIApp:
    """The console, under the names in SCRIP_ALLOWED_HOSTS where it is set: pages and sign-in use the name in links."""
    if not settings.allowed_hosts.strip():
        return pages
    hosts = Hosts(settings.allowed_hosts)

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts.check(*(value for name, value in scope["headers"] if name == b"host"))
        await pages(scope, receive, send)

    return named
