"""Facts about limited use. Integers by what is counted: `bytes`, `image`, `video`, `usd` (micro-USD), `tokens.…`.

The stream says whose use it is: `storage/{user}`, `group/{id}`, `budget/{user}`.
"""

from dataclasses import dataclass, field
from datetime import datetime

from domain.untagged import Untagged

Amounts = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodStarted(Untagged):
    """A period began with nothing used. `key` is decided once, with the organisation's time zone of that moment."""

    key: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodEnded(Untagged):
    """The period is over; `used` is what had been used of it.

    `at`: when that was, where it was before its time because the kind of period was changed. `then`: the key of what
    is used and held from now until a period starts; it differs after each such change.
    """

    key: str
    used: Amounts
    at: datetime | None = None
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseHeld(Untagged):
    """Use is held for a generation that has not finished."""

    generation_id: str
    amounts: Amounts
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UseExtended(Untagged):
    """The hold got a later end, and grew by `grown`."""

    generation_id: str
    expires_at: datetime
    grown: Amounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UseSettled(Untagged):
    """Held use came about: `used` (also more than was held, where that was so), `returned` went back.

    With `final` the hold has ended. `period` is that of the hold: what was held in a period counts in that period.
    """

    generation_id: str
    used: Amounts
    returned: Amounts
    final: bool = True
    period: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseReleased(Untagged):
    """The hold ended and all that was left of it went back."""

    generation_id: str
    amounts: Amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class UseExpired(Untagged):
    """The hold was never settled; all that was left of it went back."""

    generation_id: str
    amounts: Amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCounted(Untagged):
    """Use that nothing was held for: counted at once. `ref`: the generation or deduction."""

    amounts: Amounts
    user: str | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseGivenBack(Untagged):
    """Use was undone by a refund; it changes only the period in which it had been counted."""

    amounts: Amounts
    period: str
    ref: str | None = None


QuotaEvent = (
    PeriodStarted
    | PeriodEnded
    | UseHeld
    | UseExtended
    | UseSettled
    | UseReleased
    | UseExpired
    | UseCounted
    | UseGivenBack
)

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "period-started.v1": PeriodStarted,
    "period-ended.v1": PeriodEnded,
    "use-held.v1": UseHeld,
    "use-extended.v1": UseExtended,
    "use-settled.v1": UseSettled,
    "use-released.v1": UseReleased,
    "use-expired.v1": UseExpired,
    "use-counted.v1": UseCounted,
    "use-given-back.v1": UseGivenBack,
}
