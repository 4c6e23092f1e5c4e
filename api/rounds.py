"""Turns at the event loop: how much of what has come is begun before the loop looks again at what else has come.

Hundreds of connections of one organisation send as many requests at once, and a batch is a thousand in one. Where each
of them began as it came, the next one's request would wait for all of them.
"""

import asyncio
from collections import Counter
from sys import maxsize
from time import monotonic

from infra.turns import CALLER, Caller
from infra.writer.fair_queue import FairQueue

AT_ONCE = 4  # requests that begin in one round of the event loop
STRETCH_S = 0.001  # of longer work, which is all that begins in its round
REST = 4.0  # times as long as a round took
LONGEST_REST_S = 0.02
ALONE_S = 1.0  # without requests of others a caller has no turns to wait for


class _Waiter:
    __slots__ = ("begin", "caller", "size", "whole")

    def __init__(self, caller: Caller, size: int) -> None:
        self.caller, self.size, self.whole = caller, size, True
        self.begin: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Rounds:
    """Made once for each event loop. Nobody is refused: who waits has a connection, and those are bounded.

    Of an organisation `at_once` requests begin in a round, and so many of all that had to wait for it; as many again
    of its logins that have none in the round, each with one. Where more wait, the next round comes after some times as
    long as this one took, so that others find the loop idle: other organisations, and other logins of the organisation
    where those who wait are so few that one of them had several turns in the round.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self.busy = False  # whether a round has begun, and the next one is to come
        self._of_orgs: Counter[str] = Counter()  # requests in this round
        self._of_logins: Counter[Caller] = Counter()
        self._few = False  # whether one of those who had waited for this round had several turns in it
        self._waiting: FairQueue[_Waiter] = FairQueue(turn=1)
        self._last: Caller | None = None  # whose request was the last
        self._until = 0.0  # when other callers count as quiet, 0 where they are
        self._rests_until = 0.0  # when other organisations do

    def take(self, caller: Caller) -> bool:
        """Begin now, if the caller has room in this round or all others are quiet."""
        org = caller[0]
        if caller != self._last:
            now = monotonic()
            if self._last is None or org != self._last[0]:
                self._rests_until = now + ALONE_S
            self._last, self._until = caller, now + ALONE_S
        elif not self._until or monotonic() > self._until:
            self._until = 0.0
            return True
        most = self.at_once if caller in self._of_logins else 2 * self.at_once
        if self._of_orgs[org] >= most or self._waiting.waits(caller):
            return False
        self._count(caller, 1)
        self._go_on()
        return True

    async def wait(self, caller: Caller, size: int = 1) -> None:
        """Wait for a turn. `size`: how many requests' time is taken by what begins then."""
        waiter = _Waiter(caller, size)
        self._waiting.put([waiter], maxsize)
        self._go_on()
        await waiter.begin

    def _go_on(self) -> None:
        if not self.busy:
            self.busy = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Begin a round, with those whose turn it is."""
        self._of_orgs.clear()
        self._of_logins.clear()
        for waiter, size in self._waiting.take(self.at_once).items:
            if not waiter.begin.done():  # its task was cancelled
                waiter.begin.set_result(None)
                self._count(waiter.caller, size)
        self._few = max(self._of_logins.values(), default=0) > 1
        self.busy = bool(self._of_orgs or self._waiting)
        if self.busy:  # after those that begin now
            asyncio.get_running_loop().call_soon(self._rest, monotonic())

    def _count(self, caller: Caller, size: int) -> None:
        self._of_orgs[caller[0]] += size
        self._of_logins[caller] += size

    def _rest(self, began: float) -> None:
        now = monotonic()
        if self._waiting and (now < self._rests_until or (self._few and now < self._until)):
            asyncio.get_running_loop().call_later(min(REST * (now - began), LONGEST_REST_S), self._next)
        else:
            self._next()


class Stretches:
    """Longer work of one request: `pause` between its parts lets others have their turns."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._until = monotonic() + STRETCH_S

    async def pause(self) -> None:
        """Wait for a turn if the stretch has ended."""
        if monotonic() > self._until:
            await self._rounds.wait(CALLER.get(), self._rounds.at_once)
            self._until = monotonic() + STRETCH_S
