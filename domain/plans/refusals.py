"""Every way in which a command on plans, packages, purchases or plan tokens can be refused."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from domain.credits.events import Paid
from domain.money import decimal_text
from domain.refusal import InvalidValue, Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class InvalidOffer(InvalidValue, Refusal):
    """A plan, feature, package or purchase that cannot be; `limit` is the bound that it passes, where there is one."""

    code: ClassVar[str] = "invalid_offer"


@dataclass(unsafe_hash=True)
class PlanBlocked(Refusal):
    """The plan allows none of these tokens, and the organisation has none from elsewhere."""

    code: ClassVar[str] = "plan_blocked"
    kind: ClassVar[RefusalKind] = RefusalKind.SHORT
    token_type: str
    plan: str
    required: int

    def __str__(self) -> str:
        return f"The plan {self.plan} has no {self.token_type} tokens. Upgrade the plan, or buy tokens."


@dataclass(unsafe_hash=True)
class InsufficientTokens(Refusal):
    """There are too few plan tokens of a type; at `refresh_date` the plan grants new ones, none where it does not."""

    code: ClassVar[str] = "insufficient_tokens"
    kind: ClassVar[RefusalKind] = RefusalKind.SHORT
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


@dataclass(unsafe_hash=True)
class NotForSale(Refusal):
    """There is no such plan or package, or it has no price; `for_sale` lists what can be bought."""

    code: ClassVar[str] = "not_for_sale"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    value: str
    for_sale: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.field}: {self.value} is not for sale. For sale are: {', '.join(self.for_sale) or 'none yet'}."


@dataclass(unsafe_hash=True)
class PurchaseExists(Refusal):
    """The purchase's id is taken."""

    code: ClassVar[str] = "exists"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    purchase_id: str

    def __str__(self) -> str:
        return f"There is a purchase {self.purchase_id} already."


@dataclass(unsafe_hash=True)
class NoSuchPurchase(Refusal):
    """There is no purchase of this id."""

    code: ClassVar[str] = "not_found"
    kind: ClassVar[RefusalKind] = RefusalKind.MISSING
    purchase_id: str

    def __str__(self) -> str:
        return f"There is no purchase {self.purchase_id}."


@dataclass(unsafe_hash=True)
class PurchaseCompletedAlready(Refusal):
    """The purchase was paid, by the payment `payment_ref`; it delivers once."""

    code: ClassVar[str] = "purchase_completed"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    purchase_id: str
    payment_ref: str

    def __str__(self) -> str:
        return f"The purchase {self.purchase_id} is completed already, by the payment {self.payment_ref}."


@dataclass(unsafe_hash=True)
class PaymentUsed(Refusal):
    """One payment pays for one thing."""

    code: ClassVar[str] = "payment_used"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    payment_ref: str

    def __str__(self) -> str:
        return f"The payment {self.payment_ref} has already paid for something else."


@dataclass(unsafe_hash=True)
class PaymentMismatch(Refusal):
    """Something else was paid than the purchase costs, so nothing is delivered."""

    code: ClassVar[str] = "payment_mismatch"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    purchase_id: str
    price: Paid
    paid: Paid

    def facts(self) -> dict[str, object]:
        return {"purchase_id": self.purchase_id, "price": _money(self.price), "paid": _money(self.paid)}

    def __str__(self) -> str:
        return f"The purchase {self.purchase_id} costs {_money(self.price)}, but {_money(self.paid)} was paid."


def _money(paid: Paid) -> str:
    return f"{decimal_text(paid.amount)} {paid.currency}"
