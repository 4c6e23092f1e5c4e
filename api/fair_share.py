"""How a bound for all is shared: by login and organisation, and so that who has little is served while others fill it.

Without that, a few callers who take all they may make everybody else fail.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from api.http.problems import Problem, limit_reached, overloaded
from api.in_use import release

RESERVE = 2  # so much of a bound is kept besides for those who have little: one half


def fits(own: int, little: int, total: int, most: int) -> bool:
    """Whether `total` is within the bound `most`, for a caller who has `own` of it; both with what is asked for.

    Who has no more than `little` may also have a part of the reserve, which is a bound as well.
    """
    return total <= most or (own <= little and total <= most + most // RESERVE)


class Bounds(NamedTuple):
    """How much of something one login, one organisation and all together may have at a time.

    A login with at most `little_of_login` may use the reserve of its organisation's bound, an organisation with at most
    `little_of_org` that of the bound for all; 0: there is no reserve. A login or organisation that has its part gets
    429 with `code`, `detail` (with places for `whose` and `most`) and `retry_after_s`; where all is taken, everybody
    gets what `full` returns.
    """

    of_login: int
    of_org: int
    of_all: int
    code: str
    detail: str
    retry_after_s: int
    little_of_login: int = 0
    little_of_org: int = 0
    full: Callable[[], Problem] = overloaded


class Shares:
    """What is taken at the moment, by whom. `bounds` is asked each time; `taken` is the sum."""

    def __init__(self, bounds: Callable[[], Bounds]) -> None:
        self.taken = 0
        self._bounds = bounds
        self._of_orgs: Counter[str] = Counter()
        self._of_logins: Counter[tuple[str, str]] = Counter()

    def check(self, org: str, login: str, size: int = 1) -> None:
        """Raises Problem (429, 503) where there is no room for `size` more."""
        bounds = self._bounds()
        of_login, of_org = self._of_logins[org, login] + size, self._of_orgs[org] + size
        if of_login > bounds.of_login:
            raise _has_its_part(bounds, "login", bounds.of_login)
        if not fits(of_login, bounds.little_of_login, of_org, bounds.of_org):
            raise _has_its_part(bounds, "organisation", bounds.of_org)
        if not fits(of_org, bounds.little_of_org, self.taken + size, bounds.of_all):
            raise bounds.full()

    def take(self, org: str, login: str, size: int = 1) -> None:
        """Count `size` more. Raises Problem (429, 503) where there is no room."""
        self.check(org, login, size)
        self.taken += size
        self._of_orgs[org] += size
        self._of_logins[org, login] += size

    def give_back(self, org: str, login: str, size: int = 1) -> None:
        """Count `size` less."""
        self.taken -= size
        release(self._of_orgs, org, size)
        release(self._of_logins, (org, login), size)

    @contextmanager
    def held(self, org: str, login: str) -> Iterator[None]:
        """Count one while it is open. Raises Problem (429, 503) where there is no room."""
        self.take(org, login)
        try:
            yield
        finally:
            self.give_back(org, login)


def _has_its_part(bounds: Bounds, whose: str, most: int) -> Problem:
    return limit_reached(bounds.code, bounds.detail.format(whose=whose, most=most), most, bounds.retry_after_s)
