"""The audit that this process runs: started once, watched by whoever asks, ended with the process."""

import asyncio
from typing import Any

from api.problems import Problem
from api.services import Services
from infra.audit.runs import AuditRunning

Step = tuple[str, int, int]  # section, done, of how many
NOTHING_YET: Step = ("", 0, 0)


class Stopping(Exception):
    """The process stops, and the audit's threads with it."""


class AuditRun:
    """One audit. `step` is how far it is; `result` waits for its report."""

    def __init__(self, services: Services, by: str) -> None:
        if services.verify is None:
            raise Problem(503, "not_offered", "This process cannot run the audit. Use scrip verify.")
        self._closing = services.live.closing
        self.step: Step = NOTHING_YET
        self._task = asyncio.create_task(_reported(services.verify(by, self._seen)))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # its watchers may be gone

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._task.done()

    async def wait(self, timeout_s: float) -> None:
        """Until it has ended, or for `timeout_s`."""
        await asyncio.wait({self._task}, timeout=timeout_s)

    async def result(self) -> dict[str, Any]:
        """The report. It goes on when its caller goes. Raises Problem (409) where another process runs one."""
        return await asyncio.shield(self._task)

    def _seen(self, section: str, done: int, total: int) -> None:
        """Called from the audit's threads."""
        if self._closing.is_set():
            raise Stopping
        self.step = (section, done, total)


class AuditRuns:
    """At most one in this process; that there is one in the deployment, its lock in the database sees to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._current: AuditRun | None = None

    def start(self, by: str) -> AuditRun:
        """A new one. Raises Problem (409 while one runs, 503)."""
        if self.current is not None:
            raise in_progress()
        self._current = AuditRun(self._services, by)
        return self._current

    @property
    def current(self) -> AuditRun | None:
        """The one that runs, or none."""
        return self._current if self._current is not None and self._current.running else None


def in_progress() -> Problem:
    """An audit is running."""
    detail = "An audit is running. Retry when it has ended."
    return Problem(409, "in_progress", detail, headers={"Retry-After": "10"})


async def _reported(audit: Any) -> dict[str, Any]:
    try:
        report: dict[str, Any] = await audit
    except AuditRunning:
        raise in_progress() from None
    except Stopping:
        raise Problem(503, "stopping", "The service is stopping.", headers={"Retry-After": "5"}) from None
    return report
