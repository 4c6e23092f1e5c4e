"""How commands on the price book are handled."""

from domain.kernel.domain import Decider, Module, timeless
from domain.kernel.work import StreamKind
from domain.prices import book as price_book
from domain.prices.events import EVENTS
from domain.prices.publish import PublishPrices, publish

DECIDERS: dict[type, Decider] = {
    PublishPrices: Decider(lambda _command: (price_book.STREAM,), publish),
}

KINDS: dict[str, StreamKind] = {
    price_book.STREAM: timeless(
        price_book.PriceBook(), price_book.evolve, lambda book: sum(len(version.entries) for version in book.versions)
    ),
}


MODULE = Module(deciders=DECIDERS, kinds=KINDS, events=EVENTS)
