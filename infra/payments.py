"""Who takes the money for purchases, chosen by SCRIP_PAYMENTS: on invoice, or a provider with signed callbacks."""

from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from infra.settings import Settings
from infra.webhooks.signature import sign

MANUAL = "manual"
MICROS = 1_000_000


class UnsafePayments(Exception):
    """A payment setting with which purchases could not be trusted; the message names it."""


class Order(NamedTuple):
    """What is to be paid: `amount` in micro-units of `currency`."""

    org: str
    purchase_id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class PaymentProvider:
    """A provider. `name` is in purchases and in the path of its callback, and MANUAL for payment on invoice: then an
    administrator says that the money has arrived.

    `secrets` sign callbacks; a provider without secrets never calls. `template` is the address of the page to pay at,
    with {purchase_id}, {organisation}, {amount} and {currency}; empty: there is no such page.
    """

    name: str = MANUAL
    secrets: tuple[str, ...] = field(default=(), repr=False)
    template: str = ""

    def checkout_url(self, order: Order) -> str | None:
        """The page at which the buyer pays; None where there is none."""
        if not self.template:
            return None
        whole, rest = divmod(order.amount, MICROS)
        parts = {
            "purchase_id": order.purchase_id,
            "organisation": order.org,
            "amount": f"{whole}.{f'{rest:06d}'.rstrip('0'):0<2}",
            "currency": order.currency,
        }
        address = self.template
        for name, value in parts.items():
            address = address.replace(f"{{{name}}}", quote(value, safe=""))
        return address


def provider_of(settings: Settings) -> PaymentProvider | None:
    """The deployment's provider, None where nothing can be bought. Raises UnsafePayments."""
    match settings.payments:
        case "":
            return None
        case "manual":
            return PaymentProvider()
        case "signed":
            secrets = tuple(settings.payments_secret.get_secret_value().split())
            if not secrets or not settings.payments_checkout_url:
                raise UnsafePayments(
                    "SCRIP_PAYMENTS=signed needs SCRIP_PAYMENTS_SECRET and SCRIP_PAYMENTS_CHECKOUT_URL."
                )
            try:
                for secret in secrets:
                    sign(secret, "start", 0, b"")  # a malformed secret stops the start, not the first payment
            except ValueError as error:
                raise UnsafePayments(f"SCRIP_PAYMENTS_SECRET: {error}.") from None
            return PaymentProvider("signed", secrets, settings.payments_checkout_url)
        case other:
            raise UnsafePayments(f"SCRIP_PAYMENTS must be manual, signed or empty, not {other}.")
