"""Commands that write something and take nothing from their caller: how many one may send (docs/limits.md).

A refused command is kept under its key, a budget of one's own is a fact for ever, and so is a hold that is let go
again. Nothing of it is paid for, so nothing but a rate ends it. What takes something is bounded by what one has.
"""

from math import ceil

from api.problems import Problem, rate_limited
from infra.pace import Pace
from infra.security.principal import Principal, Role
from infra.settings import Settings

WHAT = "commands that take nothing"
_TOGETHER, _PROGRAMS = "users", "programs"  # no caller's name: those have a colon


class FreeWrites:
    """Counted when a command has been decided, asked before the next: what is on its way meanwhile may pass.

    A user's own token has a rate of its own, and all of an organisation's users have one together, which stops only
    those who have spent something of it. The organisation's workers, administrators and API keys have one together, for
    refused commands alone. The platform's administrators have none.
    """

    def __init__(self, settings: Settings) -> None:
        window_s = settings.rate_window_s
        self._user = _pace(settings.free_limit, window_s)
        self._users = _pace(settings.free_limit_users, window_s)
        self._programs = _pace(settings.free_limit_programs, window_s)
        self._any = False  # whether anything was ever counted: until then there is nothing to look at

    def check(self, principal: Principal, org: str) -> None:
        """Raises Problem (429) for a caller who has sent too many."""
        if not self._any:
            return
        role = principal.role
        if role is Role.USER:
            own = (org, principal.actor)
            _within(self._user, own)
            if self._user is None or self._user.has_spent(own):
                _within(self._users, (org, _TOGETHER))
        elif role is not Role.ADMIN:
            _within(self._programs, (org, _PROGRAMS))

    def count(self, principal: Principal, org: str) -> None:
        """Note one that was refused."""
        self._any = True
        role = principal.role
        if role is Role.USER:
            _spend(self._user, (org, principal.actor))
            _spend(self._users, (org, _TOGETHER))
        elif role is not Role.ADMIN:
            _spend(self._programs, (org, _PROGRAMS))

    def count_accepted(self, principal: Principal, org: str) -> None:
        """Note one that was accepted and took nothing: only a user's own counts."""
        if principal.role is Role.USER:
            self.count(principal, org)


def _pace(limit: int, window_s: int) -> Pace | None:
    return Pace(limit, window_s) if limit else None


def _spend(pace: Pace | None, key: tuple[str, str]) -> None:
    if pace is not None:
        pace.spend(key)


def _within(pace: Pace | None, key: tuple[str, str]) -> None:
    wait_s = pace.wait_s(key) if pace is not None else 0.0
    if pace is not None and wait_s:
        raise _too_many(pace, wait_s)


def _too_many(pace: Pace, wait_s: float) -> Problem:
    return rate_limited(max(1, ceil(wait_s)), pace.limit, pace.window_s, WHAT)
