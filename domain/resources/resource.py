"""What a limited resource is. There are two families: it is paid from accounts, or counted against a limit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from domain.generations.assessment import Assessment
from domain.generations.events import Charge, Held, ResourceCheck
from domain.generations.request import Request
from domain.generations.settlement import Settlement
from domain.kernel.work import Work
from domain.quotas.events import Amounts
from domain.settings.setting import Setting


class Action(NamedTuple):
    """What a person can do about a refusal; `page` is the application's: tokens, plan, generations, budget, admin."""

    label: str
    page: str


UPGRADE = Action("Upgrade Plan", "plan")
ASK_ADMIN = Action("Ask Your Admin", "admin")


class HoldTerms(NamedTuple):
    """For which generation something is held, until when, and by which entry of the price book."""

    generation_id: str
    expires_at: datetime
    item: str | None
    price_version: int | None


class Resource(Protocol):
    """One limited resource.

    `name` is stored in events and settings, so it never changes. `reason` is the code of its refusal, `short` the same
    in a few words, `about` what it is, for an organisation's settings. `kind` is how the names of its streams begin.
    Answers and read models add its charges up under `figure`; None: they do not show them. `money`: its amounts are
    micro-USD. `settings`: the numbers that it lets its owners set. `transient`: a shortage ends without
    a purchase, so a refusal is not stored and the caller may request the same generation again.
    """

    name: str
    reason: str
    short: str
    kind: str
    about: str = ""
    figure: str | None = None
    money: bool = False
    settings: tuple[Setting, ...] = ()
    transient: bool = False

    def first_streams(self, _request: Request, /) -> tuple[str, ...]:
        """The streams that a check needs, as far as the request alone names them."""
        return ()

    def more_streams(self, _work: Work, _request: Request, /) -> tuple[str, ...]:
        """Those that only states name: who pays, the groups of a user."""
        return ()

    def settling_streams(self, _work: Work, _user: str, /, *, growing: bool) -> tuple[str, ...]:
        """Those that settling or `growing` a user's generation may need beside the streams of its holds."""
        del growing
        return ()

    def quote(self, assessment: Assessment, /) -> None:
        """Add what it would take of this resource to the amounts, which have those of the resources before it.

        Raises refusals of kind INVALID.
        """

    def check(self, assessment: Assessment, /) -> None:
        """Add whether it is there, and what would be held of it; nothing where it does not apply.

        Exactly enough is enough. Raises TooManyGrantsAtOnce.
        """

    def begin(self, _work: Work, _held: Held, /) -> None:
        """Start the period of a quota where none runs, before anything is held."""
        return

    def hold(self, work: Work, held: Held, terms: HoldTerms, /) -> None:
        """Hold what a check has found. Raises TooMany, TotalTooLarge, AlreadyExists, TooManyGrantsAtOnce."""

    def extend(self, work: Work, held: Held, terms: HoldTerms, grown: int, /) -> Held:
        """Hold it longer, and `grown` more of what is paid; returns what is held then."""

    def release(self, work: Work, held: Held, generation_id: str, /) -> None:
        """Give all of it back."""

    def settle(self, settlement: Settlement, /) -> None:
        """Charge what an open generation cost. Raises refusals of what was reported, and TotalTooLarge."""

    def settle_failed(self, settlement: Settlement, percent: int, /) -> None:
        """Give it back, but for the percentage that the organisation's policy charges of what is paid."""

    def settle_late(self, settlement: Settlement, /) -> None:
        """Charge what a generation cost after its holds have expired, as far as it is still there."""

    def refund(self, work: Work, charge: Charge, back: Amounts, refund_id: str, /) -> Charge | None:
        """Undo a part of a charge; returns what was undone, None for nothing."""

    def sentence(self, check: ResourceCheck, /) -> str:
        """Why it is short, for people."""

    def actions(self, reason: str, /) -> tuple[Action, ...]:
        """What helps against a refusal for this reason."""

    def facts(self, _assessment: Assessment, _checks: Sequence[ResourceCheck], /) -> dict[str, Any]:
        """What the answer of a check has about it, at the top, by its own checks."""
        return {}

    def eased_by_price(self, _check: ResourceCheck, /) -> bool:
        """Whether something cheaper may pass the check that failed."""
        return False

    def place(self, stream: str, /) -> tuple[str, str]:
        """Where it is held or charged: `account`, `group`, `user`, and which; `resource` where there is one place."""

    def whose(self, stream: str, /) -> str:
        """The same for people: `the storage of ann`."""


class Unknown:
    """A resource in a stored event that this version of the code does not have: it is shown all the same."""

    money = False
    figure = None
    transient = False

    def sentence(self, check: ResourceCheck) -> str:
        return f"Not enough {check.resource}. You need {check.needed} but only have {check.available or 0}."

    def actions(self, _reason: str) -> tuple[Action, ...]:
        return (ASK_ADMIN,)

    def place(self, stream: str) -> tuple[str, str]:
        kind, _, owner = stream.partition("/")
        return kind, owner

    def whose(self, stream: str) -> str:
        return stream


def deficit(checks: Sequence[ResourceCheck]) -> int:
    """What is missing in the checks that failed."""
    return sum(check.needed - (check.available or 0) for check in checks if not check.ok)
