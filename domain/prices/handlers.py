"""How commands on the price book are handled."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.execution import Handler, View
from domain.prices import book as price_book
from domain.prices.publish import PublishPrices, publish


def _publish(view: View, command: PublishPrices, now: datetime) -> Iterable[tuple[str, Any]]:
    return [(price_book.STREAM, event) for event in publish(view.state(price_book.STREAM), command, now)]


HANDLERS: dict[type, Handler] = {
    PublishPrices: Handler(lambda _command: (price_book.STREAM,), _publish),
}
