"""How commands on the price book are handled."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.kernel.domain import Decider, Module, timeless
from domain.kernel.work import StreamKind, Work
from domain.prices import book as price_book
from domain.prices.events import EVENTS
from domain.prices.publish import PublishPrices, publish


def _publish(work: Work, command: PublishPrices, now: datetime) -> Iterable[tuple[str, Any]]:
    return [(price_book.STREAM, event) for event in publish(work.state(price_book.STREAM), command, now)]


DECIDERS: dict[type, Decider] = {
    PublishPrices: Decider(lambda _command: (price_book.STREAM,), _publish),
}

KINDS: dict[str, StreamKind] = {
    price_book.STREAM: timeless(
        price_book.PriceBook(), price_book.evolve, lambda book: sum(len(version.entries) for version in book.versions)
    ),
}


MODULE = Module(deciders=DECIDERS, kinds=KINDS, events=EVENTS)
