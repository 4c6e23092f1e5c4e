"""How large sums and parts may become, so that every store behind the log can hold what is decided here.

Columns of the read models and counters of the log are 64 bits wide (up to some 9.2 * 10^18). A sum that may be the
sum of a few others ends well below that.
"""

from domain.refusal import Refusal, RefusalKind

MAX_AMOUNT = 10**12  # of one amount: credits, tokens, bytes, micro-units of money, milliseconds
MAX_TOTAL = 10**18  # of any sum that an account, a limit or a generation keeps: a million of the largest amounts
MAX_SLICES = 500  # grants that one hold or one movement takes parts of; each is a kilobyte of its event at most


class TotalTooLarge(Refusal, code="total_too_large", kind=RefusalKind.CONFLICT):
    """A sum over everything that ever happened would pass its bound; `what` names the sum."""

    what: str
    limit: int

    def __str__(self) -> str:
        return f"All that is {self.what} would come to more than {self.limit}."


def within(total: int, more: int, what: str) -> None:
    """Refuse to add `more` to a `total` that would then pass MAX_TOTAL. Raises TotalTooLarge."""
    if total + more > MAX_TOTAL:
        raise TotalTooLarge(what=what, limit=MAX_TOTAL)
