"""What is published on `scrip.decisions`: refused generations, checks and deductions (contract; S0, S3)."""

import asyncio
import logging
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from time import time

from aiokafka.errors import KafkaError

from infra.kafka import topics
from infra.kafka.channels import Channel, Outlet
from infra.security.rates import Pace
from infra.settings import Settings
from infra.waits import end_tasks

log = logging.getLogger(__name__)

GENERATION, CHECK = "scrip.decision.generation_refused", "scrip.decision.check_refused"
DEDUCTION = "scrip.decision.deduction_refused"  # of plan tokens
MOST_WAITING = 10_000
BATCH = 500
WINDOW_S = 60
MAX_OF_USER = 60  # refused checks of one user in WINDOW_S seconds,
MAX_OF_ORG = 3_000  # and of all users of an organisation; more are counted, but not published one by one
MOST_COUNTED = 20_000  # users of whom it is known how many were left out
RETRY_S = 2.0


@dataclass(slots=True, kw_only=True)
class Decision:
    """A refusal: who wanted what, why not, and by how much the first failing resource was short.

    `deficit` is in that resource's own unit (credits, tokens, bytes, micro-USD, images, videos). Refused generations
    have `generation_id` and `position`; checks and deductions write nothing in the log and have none, and a generation
    that was refused to be tried again (429) is published as a refused check. `left_out`: how
    many checks and deductions of the same user were refused since the one before and have no record of their own.
    """

    org: str
    at: datetime
    user_id: str
    operation: str
    reason: str
    deficit: int
    actor: str
    provider: str | None = None
    model: str | None = None
    feature: str | None = None
    generation_id: str | None = None
    position: str | None = None
    left_out: int = 0


DECISIONS = Channel(
    title="decisions",
    topic=topics.DECISIONS,
    description="Refused generations; refused checks and deductions of plan tokens (best effort).",
    messages={GENERATION: Decision, CHECK: Decision, DEDUCTION: Decision},
    group=topics.NOTIFIER,
    source="/scrip/decisions",
)


class RefusedChecks:
    """Publishes refused checks in the background, best effort: a check never waits for Kafka and never fails by it.

    What does not fit into the queue while the broker is away is dropped and counted in `dropped`. Asking costs nothing,
    so refusals of a user, or an organisation, that come too often are `left_out`: counted, and published as a number
    with the user's next one.
    """

    def __init__(self, settings: Settings, most_waiting: int = MOST_WAITING) -> None:
        self._settings = settings
        self._queue: asyncio.Queue[tuple[str, str, Decision]] = asyncio.Queue(most_waiting)
        self._task: asyncio.Task[None] | None = None
        self._outlet = Outlet(settings, DECISIONS)
        self._of_user, self._of_org = Pace(MAX_OF_USER, WINDOW_S), Pace(MAX_OF_ORG, WINDOW_S)
        self._untold: OrderedDict[tuple[str, str], int] = OrderedDict()
        self.dropped = self.left_out = 0

    def refused_check(
        self,
        org: str,
        user: str,
        operation: str,
        model: str | None,
        reason: str,
        deficit: int,
        actor: str,
        at: datetime | None = None,
        type_: str = CHECK,
    ) -> None:
        """Note that a check said no, or a deduction (`type_`), by the ledger's time `at` where the caller has it.

        Call it in the event loop that `start` was called in; it returns at once.
        """
        who = (org, user)
        if self._of_user.wait_s(who) or self._of_org.wait_s((org, "")):
            self._leave_out(who)
            return
        self._of_user.spend(who)
        self._of_org.spend((org, ""))
        decision = Decision(
            org=org,
            at=at or datetime.fromtimestamp(time(), UTC),  # nothing is decided by it
            user_id=user,
            operation=operation,
            reason=reason,
            deficit=deficit,
            actor=actor,
            model=model,
            left_out=self._untold.pop(who, 0),
        )
        try:
            self._queue.put_nowait((token_hex(12), type_, decision))
        except asyncio.QueueFull:
            self.dropped += 1

    def _leave_out(self, who: tuple[str, str]) -> None:
        self.left_out += 1
        self._untold[who] = self._untold.pop(who, 0) + 1
        if len(self._untold) > MOST_COUNTED:
            self._untold.popitem(last=False)

    def start(self) -> None:
        """Begin to publish, in the running event loop; without a broker in the settings nothing is published."""
        if self._settings.kafka:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Publish what waits if that takes no longer than two seconds, and end."""
        task, self._task = self._task, None
        if task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self._queue.join()
        await end_tasks([task])
        await self._outlet.close()

    async def _run(self) -> None:
        waiting: list[tuple[str, str, Decision]] = []
        while True:
            if not waiting:
                waiting.append(await self._queue.get())
            while len(waiting) < BATCH and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            try:
                await self._publish(waiting)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("refused checks are not published yet: %s", error or type(error).__name__)
                await asyncio.sleep(RETRY_S)
                continue
            for _ in waiting:
                self._queue.task_done()
            waiting = []

    async def _publish(self, waiting: list[tuple[str, str, Decision]]) -> None:
        await self._outlet.publish([DECISIONS.record(said, type_, id_, said.at) for id_, type_, said in waiting])
