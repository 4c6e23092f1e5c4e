"""Who may read `/metrics` on the API's port, which strangers reach: its figures are the whole platform's."""

from hmac import compare_digest
from typing import Any

from api.guard import Head, read_head, who
from api.guesses import address_of
from api.hosts import host_name, is_loopback
from api.policy import ADMIN
from api.problems import Problem
from api.services import Services
from infra.security.authenticator import credential_of

# What a proxy adds: then the caller is somebody else than the connection's other end.
_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


async def may_read_metrics(services: Services, scope: Any) -> None:
    """Let a caller on this machine pass, the metrics token, and an admin of the platform. Raises Problem (401, 403)."""
    head = read_head(scope)
    if _has_token(services, head) or (head.authorization is None and _is_local(services, scope)):
        return
    principal = await who(services, scope, head)
    if principal.role is not ADMIN or principal.scopes is not None:
        raise Problem(403, "forbidden", "Metrics are the platform's: they need an admin or SCRIP_METRICS_TOKEN.")


def _has_token(services: Services, head: Head) -> bool:
    token = services.settings.metrics_token.get_secret_value()
    given = credential_of(head.authorization) if head.authorization is not None else ""
    return bool(token) and compare_digest(given.encode(), token.encode())


def _is_local(services: Services, scope: Any) -> bool:
    """Whether a program on this machine asks for itself: no proxy for others, no page under another name."""
    if services.settings.trusted_proxy or not is_loopback(address_of(scope)):
        return False
    names = [name for name, _ in scope["headers"]]
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return not _FORWARDED.intersection(names) and all(is_loopback(host_name(host)) for host in hosts)
