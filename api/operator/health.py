"""Whether the service is well, and its metrics: for monitoring, without a login."""

import asyncio
from collections.abc import Iterator
from hmac import compare_digest
from time import monotonic
from typing import Any, Literal

import psycopg
from fastapi import Request
from prometheus_client.core import Metric
from pydantic import BaseModel
from starlette.responses import Response

from api.http.caller import Head, address_of, read_head, who
from api.http.database import UNREACHABLE
from api.http.edge import host_name, is_loopback
from api.http.endpoint import endpoint, services_of
from api.http.lists import Json
from api.http.policy import ADMIN, May
from api.http.problems import Problem
from api.http.services import Services
from api.operator.watch import backlog_of
from infra.disk import DiskWatch
from infra.role_metrics import RoleMetrics
from infra.security.authenticator import credential_of


class Health(BaseModel):
    """`degraded` with fewer than three issues that leave the service usable, `unhealthy` otherwise."""

    status: Literal["healthy", "degraded", "unhealthy"]
    issues: list[str]


LAGGING_S = 60.0
LOOK_EVERY_S = 1.0  # health and metrics are asked for by anybody, so they look at the database this often at most
METRICS_S = 10.0
UNHEALTHY_FROM = 3
SHOWN = 20  # consumers that stand still
# What a proxy adds: then the caller is not the other end of the connection.
_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


class Condition:
    """What is wrong with the service, looked at again when the last look is old."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looked_at = float("-inf")
        self._reads: list[str] = []

    @property
    def stalled(self) -> bool:
        """Whether a consumer makes no progress."""
        return bool(self._services.consumers.stalled)

    async def issues(self) -> list[str]:
        """A sentence for each issue; the first is fatal if the log cannot be reached."""
        if monotonic() - self._looked_at > LOOK_EVERY_S:
            self._looked_at = monotonic()
            self._reads = await self._look()
        lost = [] if self.connected else ["The log cannot be reached."]
        watch = self._services.consumers
        silent = ["Kafka does not answer (runbook: kafka-away)."] if watch.broker is False else []
        still = [consumer.sentence for consumer in watch.stalled[:SHOWN]]
        # One issue in all: three folders with little room are no reason to take the API away.
        disk = [" ".join(said)] if (said := self.disk.issues()) else []
        return lost + disk + self._reads + silent + still

    @property
    def disk(self) -> DiskWatch:
        """How much room there is."""
        return self._services.ledger.writer.disk

    @property
    def connected(self) -> bool:
        """Whether commands can be decided."""
        return self._services.ledger.writer.connected

    async def _look(self) -> list[str]:
        services = self._services
        try:
            backlog = await backlog_of(services.rows_of_all)
        except psycopg.errors.UndefinedTable:
            return ["The read models do not exist yet: no projector has run."]
        except UNREACHABLE:
            return ["The read models cannot be reached."]
        services.metrics.backlog = backlog
        issues = [
            f"The read models are more than {LAGGING_S:.0f} s late in partition {partition}."
            for partition, lag in backlog.lags.items()
            if lag.events > 0 and lag.seconds > LAGGING_S
        ]
        issues += [
            # Without the reason, which may quote a customer's data: this needs no login. /api/v1/operations has it.
            f"The read models stopped in partition {partition} at {event} (runbook: read-models-stopped)."
            for partition, (event, _, _) in ((at, stop.partition(":")) for at, stop in backlog.stops.items())
        ]
        # One issue in all of each: neither what others write to a topic nor a broker that is away, of which all
        # partitions tell, may take the API away.
        for found, entry in ((backlog.topic_faults, " (runbook: topic-faults)."), (backlog.relay_issues, "")):
            more = f" ({len(found)} such findings)" if len(found) > 1 else ""
            issues += [f"{each}{more}{entry}" for each in found[:1]]
        return issues


def metrics_of(services: Services) -> RoleMetrics:
    """The same metrics for a port of their own (SCRIP_METRICS_PORT). Called in the event loop that counts them."""
    condition, loop = services.single(Condition), asyncio.get_running_loop()

    async def look() -> list[Metric]:
        await condition.issues()
        return list(services.metrics.collect())

    def more() -> Iterator[Metric]:
        """In a thread of that port's: what is counted must be read where nothing counts meanwhile."""
        yield from asyncio.run_coroutine_threadsafe(look(), loop).result(METRICS_S)

    return RoleMetrics((), more)


def _condition(request: Request) -> Condition:
    return services_of(request).single(Condition)


@endpoint("GET /livez", May.ANYBODY)
async def livez(_request: Request) -> dict[str, Any]:
    """Whether the process lives."""
    return {"status": "alive"}


@endpoint("GET /readyz", May.ANYBODY)
async def readyz(request: Request) -> Json:
    """Whether commands can be decided."""
    ready = _condition(request).connected
    return Json({"status": "ready" if ready else "not ready"}, status_code=200 if ready else 503)


@endpoint("GET /health", May.ANYBODY, Health)
async def health(request: Request) -> Json:
    """What is wrong, if anything."""
    condition = _condition(request)
    issues = await condition.issues()
    status = "healthy" if not issues else "degraded"
    if len(issues) >= UNHEALTHY_FROM or condition.stalled or condition.disk.full or not condition.connected:
        status = "unhealthy"
    return Json({"status": status, "issues": issues}, status_code=503 if status == "unhealthy" else 200)


@endpoint("GET /metrics", May.ANYBODY)
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus: to callers on this machine, an admin, and with SCRIP_METRICS_TOKEN."""
    services = services_of(request)
    await _may_read_metrics(services, request.scope)
    await _condition(request).issues()
    return Response(services.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _may_read_metrics(services: Services, scope: Any) -> None:
    """Let a caller on this machine pass, the metrics token, and an admin of the platform. Raises Problem (401, 403).

    The figures are the whole platform's, and strangers reach the API's port.
    """
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
