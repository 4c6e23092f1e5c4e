"""Every way in which a command on plans, packages, purchases or plan tokens can be refused."""

from datetime import datetime

from domain.credits.events import Paid
from domain.money import decimal_text
from domain.refusal import InvalidValue, Refusal, RefusalKind


class InvalidOffer(InvalidValue, Refusal, code="invalid_offer"):
    """A plan, feature, package or purchase that cannot be; `limit` is the bound that it passes, where there is one."""


class PlanBlocked(Refusal, code="plan_blocked", kind=RefusalKind.SHORT):
    """The plan allows none of these tokens, and the organisation has none from elsewhere."""

    token_type: str
    plan: str
    required: int

    def __str__(self) -> str:
        return f"The plan {self.plan} has no {self.token_type} tokens. Upgrade the plan, or buy tokens."


class InsufficientTokens(Refusal, code="insufficient_tokens", kind=RefusalKind.SHORT):
    """There are too few plan tokens of a type; at `refresh_date` the plan grants new ones, none where it does not."""

    token_type: str
    required: int
    available: int
    refresh_date: datetime | None

    @property
    def deficit(self) -> int:
        return self.required - self.available

    def facts(self) -> dict[str, object]:
        return {
            "token_type": self.token_type,
            "required": self.required,
            "available": self.available,
            "deficit": self.deficit,
            "refresh_date": self.refresh_date.isoformat().replace("+00:00", "Z") if self.refresh_date else None,
        }

    def __str__(self) -> str:
        return (
            f"Insufficient {self.token_type} tokens. {self.required} are needed and {self.available} are left: "
            f"{self.deficit} are missing."
        )


class NotForSale(Refusal, code="not_for_sale", kind=RefusalKind.INVALID):
    """There is no such plan or package, or it has no price; `for_sale` lists what can be bought."""

    field: str
    value: str
    for_sale: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.field}: {self.value} is not for sale. For sale are: {', '.join(self.for_sale) or 'none yet'}."


class PurchaseExists(Refusal, code="exists", kind=RefusalKind.CONFLICT):
    """The purchase's id is taken."""

    purchase_id: str

    def __str__(self) -> str:
        return f"There is a purchase {self.purchase_id} already."


class NoSuchPurchase(Refusal, code="not_found", kind=RefusalKind.MISSING):
    """There is no purchase of this id."""

    purchase_id: str

    def __str__(self) -> str:
        return f"There is no purchase {self.purchase_id}."


class PurchaseCompletedAlready(Refusal, code="purchase_completed", kind=RefusalKind.CONFLICT):
    """The purchase was paid, by the payment `payment_ref`; it delivers once."""

    purchase_id: str
    payment_ref: str

    def __str__(self) -> str:
        return f"The purchase {self.purchase_id} is completed already, by the payment {self.payment_ref}."


class PaymentUsed(Refusal, code="payment_used", kind=RefusalKind.CONFLICT):
    """One payment pays for one thing."""

    payment_ref: str

    def __str__(self) -> str:
        return f"The payment {self.payment_ref} has already paid for something else."


class PaymentMismatch(Refusal, code="payment_mismatch", kind=RefusalKind.CONFLICT):
    """Something else was paid than the purchase costs, so nothing is delivered."""

    purchase_id: str
    price: Paid
    paid: Paid

    def facts(self) -> dict[str, object]:
        return {"purchase_id": self.purchase_id, "price": _money(self.price), "paid": _money(self.paid)}

    def __str__(self) -> str:
        return f"The purchase {self.purchase_id} costs {_money(self.price)}, but {_money(self.paid)} was paid."


def _money(paid: Paid) -> str:
    return f"{decimal_text(paid.amount)} {paid.currency}"
