"""Turns at something that all callers share: connections of a pool, threads.

A first-come queue lets one caller with many requests keep all others out. Here those who wait take turns by
organisation, and within an organisation by login. What one of them may use at a time is always a part of all, so that
another caller finds a place at once even while that one's requests take seconds.
"""

from asyncio import Future, get_running_loop, sleep
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

WAIT_S = 2.0
OF_ORG, OF_LOGIN = 75, 50  # percent of the places
WAITING_OF_LOGIN = 200
WAITING_OF_ORG = 400
WAITING = 2_000
# A refusal comes so late, or a caller who asks again at once would take the event loop from all others: hundreds of
# connections that were refused at once made a read of another organisation take 3 s.
REFUSE_AFTER_S = 1.0
LEAST_S = 0.1  # that are left to a caller that gets its turn at the last moment

Caller = tuple[str, str]  # organisation, login
OURS: Caller = ("", "")  # what the service does for itself; each of its tasks has a name as its login
STRANGERS = "?"  # the organisation of callers who are not known yet; their login is their address
# For whom the current task works. The API's edge and its guard set it.
CALLER: ContextVar[Caller] = ContextVar("caller", default=OURS)


@contextmanager
def ours(name: str) -> Iterator[None]:
    """What is done within is done for the service itself: others wait for it, so no caller's requests hold it up."""
    before = CALLER.set((OURS[0], name))
    try:
        yield
    finally:
        CALLER.reset(before)


class TooManyWaiting(TooManyRequests):
    """One login, or one organisation, has as many requests waiting as it may have (`limit`)."""

    def __init__(self, whose: str, limit: int) -> None:
        super().__init__(f"The {whose} may have {limit} requests waiting at a time.")
        self.limit = limit


class _Waiter:
    """A request that waits. `done`: None once it has its turn."""

    __slots__ = ("caller", "done")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.done: Future[None] = get_running_loop().create_future()


Line = dict[_Waiter, None]  # in the order of their coming


class Turns:
    """`places` at a time; of one organisation three quarters of them, of one login half, but at least one.

    For one event loop. Between calls no request waits that could have a place, so a new one need not look at those
    that wait: where it may have a place, it takes it.
    """

    def __init__(self, places: int, *, of_org: int = 0, of_login: int = 0, wait_s: float = WAIT_S) -> None:
        """`wait_s`: seconds after which a request that has no turn is refused. Others: 0 for the parts above."""
        self.places = places
        self.of_org = of_org or max(1, places * OF_ORG // 100)
        self.of_login = of_login or max(1, places * OF_LOGIN // 100)
        self.wait_s, self.refuse_after_s = wait_s, REFUSE_AFTER_S
        self.waiting = 0
        self.waiting_of_login, self.waiting_of_org, self.most_waiting = WAITING_OF_LOGIN, WAITING_OF_ORG, WAITING
        self._free = places
        # Places in use. Plain dicts: a Counter takes three times as long, and every read passes here.
        self._orgs: dict[str, int] = {}
        self._logins: dict[Caller, int] = {}
        self._lines: OrderedDict[str, OrderedDict[str, Line]] = OrderedDict()  # the next one's turn is first
        self._waiting_of: dict[str, int] = {}

    @property
    def used(self) -> int:
        """Places in use."""
        return self.places - self._free

    def take(self, caller: Caller) -> bool:
        """Take a place if the caller may have one at once. `leave` gives it back."""
        org = caller[0]
        of_org, of_login = self._orgs.get(org, 0), self._logins.get(caller, 0)
        if not self._free or of_login >= self.of_login or of_org >= self.of_org:
            return False
        self._free -= 1
        self._orgs[org], self._logins[caller] = of_org + 1, of_login + 1
        return True

    async def wait(self, caller: Caller) -> float:
        """Wait for a place after `take` found none; the seconds that are left of `wait_s`.

        Raises TooManyWaiting; psycopg_pool's TooManyRequests where too many wait in all, PoolTimeout after `wait_s`.
        """
        if (refusal := self._full(caller)) is not None:
            await sleep(self.refuse_after_s)
            raise refusal
        until = monotonic() + self.wait_s
        waiter = _Waiter(caller)
        self._join(waiter)
        timer = get_running_loop().call_later(self.wait_s, self._expire, waiter)
        try:
            await waiter.done
        except BaseException:
            if waiter.done.done() and not waiter.done.cancelled() and waiter.done.exception() is None:
                self.leave(caller)  # it was given a place, and cancelled before it could know
            else:
                self._forget(waiter)
            raise
        finally:
            timer.cancel()
        return max(until - monotonic(), LEAST_S)

    async def take_or_refuse(self, caller: Caller) -> None:
        """`take` without waiting for a place. Raises TooManyWaiting; TooManyRequests where all places are taken."""
        if self.take(caller):
            return
        refusal = self._too_many(caller)
        await sleep(self.refuse_after_s)
        raise refusal

    def _too_many(self, caller: Caller) -> TooManyRequests:
        if self._logins.get(caller, 0) >= self.of_login:
            return TooManyWaiting("login", self.of_login)
        if self._orgs.get(caller[0], 0) >= self.of_org:
            return TooManyWaiting("organisation", self.of_org)
        return TooManyRequests(f"{self.places} requests wait already.")

    async def enter(self, caller: Caller) -> None:
        """Take a place, waiting for it where that is needed. Raises as `wait` does."""
        if not self.take(caller):
            await self.wait(caller)

    def leave(self, caller: Caller) -> None:
        """Give a place back; who is next gets it."""
        self._free += 1
        org = caller[0]
        if (of_org := self._orgs[org] - 1) == 0:
            del self._orgs[org]
        else:
            self._orgs[org] = of_org
        if (of_login := self._logins[caller] - 1) == 0:
            del self._logins[caller]
        else:
            self._logins[caller] = of_login
        while self._lines and self._free and self._give():
            pass

    def _give(self) -> bool:
        """Give a free place to the first whose turn it is and who may have it; whether there was one."""
        for org, logins in self._lines.items():
            if self._orgs.get(org, 0) >= self.of_org:
                continue
            for login, line in logins.items():
                if self._logins.get((org, login), 0) >= self.of_login:
                    continue
                waiter = next(iter(line))
                # Behind all others before it leaves, which may end its line.
                logins.move_to_end(login)
                self._lines.move_to_end(org)
                self._forget(waiter)
                if not waiter.done.done():  # cancelled, and its task has not run since
                    self.take(waiter.caller)
                    waiter.done.set_result(None)
                return True
        return False

    def _full(self, caller: Caller) -> TooManyRequests | None:
        org, login = caller
        logins = self._lines.get(org)
        if logins is not None and len(logins.get(login, ())) >= self.waiting_of_login:
            return TooManyWaiting("login", self.waiting_of_login)
        if self._waiting_of.get(org, 0) >= self.waiting_of_org:
            return TooManyWaiting("organisation", self.waiting_of_org)
        if self.waiting >= self.most_waiting:
            return TooManyRequests(f"{self.waiting} requests wait already.")
        return None

    def _join(self, waiter: _Waiter) -> None:
        org, login = waiter.caller
        self._lines.setdefault(org, OrderedDict()).setdefault(login, {})[waiter] = None
        self._waiting_of[org] = self._waiting_of.get(org, 0) + 1
        self.waiting += 1

    def _forget(self, waiter: _Waiter) -> None:
        """Take a waiter out of its line, if it is there."""
        org, login = waiter.caller
        logins = self._lines.get(org)
        line = logins.get(login) if logins else None
        if logins is None or line is None or waiter not in line:
            return
        del line[waiter]
        self.waiting -= 1
        self._waiting_of[org] -= 1
        if not line:
            del logins[login]
        if not logins:
            del self._lines[org], self._waiting_of[org]

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.done.done():
            self._forget(waiter)
            waiter.done.set_exception(PoolTimeout(f"no turn within {self.wait_s:g} s"))


class FairPool(AsyncConnectionPool[AsyncConnection[Any]]):
    """As many turns as connections, so that a caller waits in the pool's own queue only for a connection being made."""

    def __init__(self, conninfo: str, *, max_size: int, timeout: float, **options: Any) -> None:
        """`timeout`: seconds until who has no connection is refused. The rest as for the pool."""
        super().__init__(conninfo, max_size=max_size, timeout=timeout, **options)
        self.turns = Turns(max_size, wait_s=timeout)
        self._callers: dict[AsyncConnection[Any], Caller] = {}

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:
        """A connection, in the caller's turn. Raises TooManyRequests, PoolTimeout, psycopg.Error."""
        caller = CALLER.get()
        if not self.turns.take(caller):
            left = await self.turns.wait(caller)
            timeout = left if timeout is None else min(left, timeout)
        try:
            connection = await super().getconn(timeout)
        except BaseException:
            self.turns.leave(caller)
            raise
        self._callers[connection] = caller
        return connection

    async def putconn(self, conn: AsyncConnection[Any]) -> None:
        """Give a connection back, and the turn with it."""
        caller = self._callers.pop(conn, None)
        try:
            await super().putconn(conn)
        finally:
            if caller is not None:
                self.turns.leave(caller)
