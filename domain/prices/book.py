"""The price book as decisions see it."""

from datetime import datetime
from typing import NamedTuple

from domain.kernel.work import Work
from domain.prices.events import PricesEvent, PricesPublished

STREAM = "prices"


class PriceBook(NamedTuple):
    """All published versions, oldest first; a held generation settles by the version that priced it."""

    versions: tuple[PricesPublished, ...] = ()

    @property
    def latest(self) -> int:
        """The number of the newest version, 0 before the first."""
        return self.versions[-1].version if self.versions else 0

    def at(self, now: datetime) -> PricesPublished | None:
        """The version in force: of those that have taken effect, the one published last."""
        for version in reversed(self.versions):
            if version.effective_at <= now:
                return version
        return None

    def version(self, number: int) -> PricesPublished | None:
        """A version by its number."""
        return next((version for version in self.versions if version.version == number), None)


def evolve(book: PriceBook, event: PricesEvent) -> PriceBook:
    """Apply one event."""
    return PriceBook(versions=(*book.versions, event))


def book_of(work: Work) -> PriceBook:
    """The price book, as a decision of any organisation sees it."""
    book: PriceBook = work.platform(STREAM)
    return book
