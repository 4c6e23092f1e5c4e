"""The port to whoever takes the money."""

from typing import NamedTuple, Protocol


class Order(NamedTuple):
    """What is to be paid: `amount` in micro-units of `currency`."""

    org: str
    purchase_id: str
    amount: int
    currency: str


class PaymentProvider(Protocol):
    """Takes payments. `name` is in purchases and in the path of the provider's callback.

    `secrets`: those that sign callbacks, none for a provider that never calls.
    """

    @property
    def name(self) -> str: ...
    @property
    def secrets(self) -> tuple[str, ...]: ...
    def checkout_url(self, order: Order) -> str | None: ...
