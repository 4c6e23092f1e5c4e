"""The providers of a deployment, chosen by SCRIP_PAYMENTS: payment on invoice, or anybody who signs callbacks."""

from dataclasses import dataclass, field
from urllib.parse import quote

from infra.payments.provider import Order, PaymentProvider
from infra.settings import Settings
from infra.webhooks.signature import sign

MANUAL = "manual"
MICROS = 1_000_000


class UnsafePayments(Exception):
    """A payment setting with which purchases could not be trusted; the message names it."""


@dataclass(frozen=True, slots=True)
class ManualPayments:
    """On invoice: the purchase waits until an administrator says that the money has arrived."""

    name: str = MANUAL
    secrets: tuple[str, ...] = ()

    def checkout_url(self, order: Order) -> str | None:  # noqa: ARG002 - there is nothing to visit
        """None: there is nothing to pay at a page."""
        return None


@dataclass(frozen=True, slots=True)
class SignedPayments:
    """A page to pay at, and a callback with a Standard Webhooks signature that says so.

    `template`: the page's address, in which {purchase_id}, {organisation}, {amount} and {currency} are filled in.
    """

    template: str
    secrets: tuple[str, ...] = field(repr=False)
    name: str = "signed"

    def checkout_url(self, order: Order) -> str | None:
        """Where the buyer pays."""
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
    """The deployment's provider, none where nothing can be bought. Raises UnsafePayments."""
    match settings.payments:
        case "":
            return None
        case "manual":
            return ManualPayments()
        case "signed":
            secrets = tuple(settings.payments_secret.get_secret_value().split())
            if not secrets or not settings.payments_checkout_url:
                raise UnsafePayments(
                    "SCRIP_PAYMENTS=signed needs SCRIP_PAYMENTS_SECRET and SCRIP_PAYMENTS_CHECKOUT_URL."
                )
            _check(secrets)
            return SignedPayments(settings.payments_checkout_url, secrets)
        case other:
            raise UnsafePayments(f"SCRIP_PAYMENTS must be manual, signed or empty, not {other}.")


def _check(secrets: tuple[str, ...]) -> None:
    """Raises UnsafePayments for what cannot have signed anything: it is found out at the start, not at a payment."""
    try:
        for secret in secrets:
            sign(secret, "start", 0, b"")
    except ValueError as error:
        raise UnsafePayments(f"SCRIP_PAYMENTS_SECRET: {error}.") from None
