"""Facts about an account. Each amount is in whole credits (1 to 10^12); times are the database's, with a zone.

Everything that was decided is in the event (which grants paid, when a hold ends), so that a fold never decides again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from domain.credits.address import debit_tag, grant_tag, payment_tag, reservation_tag, transfer_tag
from domain.untagged import Untagged

OVERDRAFT = ""  # the id of slices below zero, within the credit limit: no grant pays them
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Slice(NamedTuple):
    """A part of a grant. It carries the grant's terms, because a refund may come after the grant is used up."""

    grant: str
    amount: int
    source: str
    priority: int
    expires_at: datetime | None
    granted_at: datetime


class Paid(NamedTuple):
    """What was paid for a grant outside Scrip: integer micro-units of a currency."""

    amount: int
    currency: str


class Work(NamedTuple):
    """What was priced, in the spelling of the price book; none where neither the request nor the book names it."""

    operation: str | None = None
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantScheduled:
    """A grant was promised for a later time; it counts from `effective_at`, when `CreditsGranted` follows."""

    grant: Slice
    effective_at: datetime
    external_ref: str | None = None
    paid: Paid | None = None
    sealed: str | None = None

    @property
    def tag(self) -> str:
        return payment_tag(self.external_ref) if self.external_ref else grant_tag(self.grant.grant)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsGranted:
    """Credits came in. `repaid` of them covered a debt below zero at once; the rest of `amount` is free."""

    grant: Slice
    repaid: int = 0
    external_ref: str | None = None
    paid: Paid | None = None
    sealed: str | None = None

    @property
    def tag(self) -> str:
        return payment_tag(self.external_ref) if self.external_ref else grant_tag(self.grant.grant)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantVoided:
    """What was left of a grant was taken back; a scheduled grant is voided with `effective` false and moves nothing."""

    grant: Slice
    effective: bool = True
    sealed: str | None = None

    @property
    def tag(self) -> str:
        return grant_tag(self.grant.grant)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantExpired:
    """The free part of a grant reached its end."""

    grant: Slice

    @property
    def tag(self) -> str:
        return grant_tag(self.grant.grant)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsReserved:
    """Credits are held for work that has not finished."""

    reservation_id: str
    amount: int
    expires_at: datetime
    slices: tuple[Slice, ...]
    item: str | None = None  # what was priced, for example "MiniMax-Hailuo-02 1080P 6s"
    price_version: int | None = None
    sealed: str | None = None
    generation: bool = False  # a generation of this id holds it together with other resources
    work: Work | None = None  # of a priced hold

    @property
    def tag(self) -> str:
        return reservation_tag(self.reservation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationExtended:
    """A hold got a later end and, where the work needs more, `grown` further credits."""

    reservation_id: str
    expires_at: datetime
    grown: int
    slices: tuple[Slice, ...]

    @property
    def tag(self) -> str:
        return reservation_tag(self.reservation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationCaptured:
    """Held credits were charged as a debit; with `final` the rest (`returned`) went back and the hold ended."""

    reservation_id: str
    debit_id: str
    amount: int
    slices: tuple[Slice, ...]
    final: bool
    returned: tuple[Slice, ...] = ()
    sealed: str | None = None

    @property
    def tag(self) -> str:
        return debit_tag(self.debit_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationReleased:
    """The hold ended and what was left of it went back."""

    reservation_id: str
    amount: int
    returned: tuple[Slice, ...]
    sealed: str | None = None

    @property
    def tag(self) -> str:
        return reservation_tag(self.reservation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationExpired:
    """The hold was never settled; what was left of it went back."""

    reservation_id: str
    amount: int
    returned: tuple[Slice, ...]
    generation: bool = False  # it ended together with the generation's other holds

    @property
    def tag(self) -> str:
        return reservation_tag(self.reservation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsDebited:
    """Credits were charged at once, without a hold; `user` is who used what an organisation's account paid for.

    `work`: of a priced charge.
    """

    debit_id: str
    amount: int
    slices: tuple[Slice, ...]
    item: str | None = None
    price_version: int | None = None
    sealed: str | None = None
    user: str | None = None
    work: Work | None = None

    @property
    def tag(self) -> str:
        return debit_tag(self.debit_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsRefunded:
    """A debit was given back, whole or in part, to the grants that paid; `owed_less` of it lowered a debt."""

    refund_id: str
    debit_id: str
    amount: int
    returned: tuple[Slice, ...]
    owed_less: int = 0
    sealed: str | None = None

    @property
    def tag(self) -> str:
        return debit_tag(self.debit_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsTransferredOut:
    """Credits left for another account of the organisation."""

    transfer_id: str
    to: str
    amount: int
    slices: tuple[Slice, ...]
    sealed: str | None = None

    @property
    def tag(self) -> str:
        return transfer_tag(self.transfer_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditsTransferredIn:
    """Credits came from another account; the slices keep their priority and expiry."""

    transfer_id: str
    sender: str
    amount: int
    slices: tuple[Slice, ...]
    repaid: int = 0

    @property
    def tag(self) -> str:
        return transfer_tag(self.transfer_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfigured(Untagged):
    """The account's switches, all of them, as they are from now on. `credit_limit`: credits below zero (0 to 10^12)."""

    frozen: bool
    closed: bool
    credit_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowanceSet(Untagged):
    """From now on a plan grants `amount` at the start of every 30-day cycle; 0 for none. `id` starts the grants' ids.

    Cycles are counted from `anchor`; `cycle` is the current one. Nothing is granted from `until` on.
    """

    id: str
    plan: str
    amount: int
    anchor: datetime
    cycle: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowanceGranted:
    """A plan's credits or tokens for a cycle came in; they end with it. `skipped` cycles had passed in silence.

    `repaid` as in `CreditsGranted`.
    """

    grant: Slice
    cycle: int
    skipped: int = 0
    repaid: int = 0

    @property
    def tag(self) -> str:
        return grant_tag(self.grant.grant)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortfallRecorded:
    """Work was done that could not be paid for: `amount` is collected from the next grant, or written off."""

    generation_id: str
    amount: int

    @property
    def tag(self) -> str:
        return reservation_tag(self.generation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortfallCollected:
    """Credits that came in paid a shortfall: a debit like any other."""

    debit_id: str
    amount: int
    slices: tuple[Slice, ...]

    @property
    def tag(self) -> str:
        return debit_tag(self.debit_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortfallWrittenOff:
    """It will not be paid any more; `generation_id` where a refund of that generation ended it."""

    amount: int
    sealed: str | None = None
    generation_id: str | None = None

    @property
    def tag(self) -> str | None:
        return reservation_tag(self.generation_id) if self.generation_id else None


HoldEvent = CreditsReserved | ReservationExtended | ReservationCaptured | ReservationReleased | ReservationExpired
GrantEvent = GrantScheduled | CreditsGranted | GrantVoided | GrantExpired | AllowanceSet | AllowanceGranted
MovementEvent = CreditsDebited | CreditsRefunded | CreditsTransferredOut | CreditsTransferredIn
ShortfallEvent = ShortfallRecorded | ShortfallCollected | ShortfallWrittenOff
CreditsEvent = HoldEvent | GrantEvent | MovementEvent | ShortfallEvent | AccountConfigured

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "grant-scheduled.v1": GrantScheduled,
    "credits-granted.v1": CreditsGranted,
    "grant-voided.v1": GrantVoided,
    "grant-expired.v1": GrantExpired,
    "credits-reserved.v1": CreditsReserved,
    "reservation-extended.v1": ReservationExtended,
    "reservation-captured.v1": ReservationCaptured,
    "reservation-released.v1": ReservationReleased,
    "reservation-expired.v1": ReservationExpired,
    "credits-debited.v1": CreditsDebited,
    "credits-refunded.v1": CreditsRefunded,
    "credits-transferred-out.v1": CreditsTransferredOut,
    "credits-transferred-in.v1": CreditsTransferredIn,
    "account-configured.v1": AccountConfigured,
    "allowance-set.v1": AllowanceSet,
    "allowance-granted.v1": AllowanceGranted,
    "shortfall-recorded.v1": ShortfallRecorded,
    "shortfall-collected.v1": ShortfallCollected,
    "shortfall-written-off.v1": ShortfallWrittenOff,
}
