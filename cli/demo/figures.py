"""The figures that a demo shows and compares, and what they must be by the service's own quotes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

from cli.demo.plan import BUSY, STUDIO, Generation, Plan, budget_of
from domain.generations.request import IMAGE_LIKE, MB, VIDEO
from domain.money import micros


class Level(NamedTuple):
    """How much of a limit, or of what was granted, is used for good, and how much is held for work that runs."""

    used: int
    limit: int
    held: int = 0

    @property
    def left(self) -> int:
        return self.limit - self.used - self.held

    @property
    def percent(self) -> int:
        """How much of the limit is used, rounded down; all of a limit of 0."""
        return self.used * 100 // self.limit if self.limit else 100

    def as_json(self) -> dict[str, int]:
        return {"used": self.used, "held": self.held, "limit": self.limit, "left": self.left}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFigures:
    """What one user has: credits and tokens against what was granted, bytes, and micro-USD of the month."""

    org: str
    user: str
    credits: Level
    tokens: Level
    storage: Level
    budget: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFigures:
    """What a group's members have generated."""

    org: str
    group: str
    members: int
    image: Level
    video: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationFigures:
    """The plan, what there is of each token type (held or not), and when the plan grants again."""

    org: str
    plan: str
    tokens: dict[str, int]


Figures = UserFigures | GroupFigures | OrganisationFigures


def as_json(figures: Figures) -> dict[str, Any]:
    """For programs."""
    values = {part.name: getattr(figures, part.name) for part in fields(figures)}
    return {name: value.as_json() if isinstance(value, Level) else value for name, value in values.items()}


def difference(found: Figures, must: Figures) -> str | None:
    """Where the figures are not what they must be, in words; none where they are."""
    wrong = [
        f"{part.name} is {_shown(getattr(found, part.name))}, but must be {_shown(getattr(must, part.name))}"
        for part in fields(must)
        if getattr(found, part.name) != getattr(must, part.name)
    ]
    owner = " ".join(str(getattr(must, name)) for name in ("org", "user", "group") if hasattr(must, name))
    return f"{owner}: {'; '.join(wrong)}" if wrong else None


def _shown(value: object) -> str:
    if isinstance(value, Level):
        return f"{value.used} used and {value.held} held of {value.limit}"
    return str(value)


ROOM_PERCENT = 125  # credits and tokens that are granted, of what is asked for
STORAGE_STEP = 100 * MB
GROUP = "team"


class Price(NamedTuple):
    """What a generation is quoted: credits, tokens, micro-USD, and plan tokens of a type."""

    credits: int = 0
    tokens: int = 0
    usd: int = 0
    plan_tokens: int = 0
    token_type: str | None = None

    @classmethod
    def of(cls, quote: dict[str, Any]) -> Self:
        """The quote of a check or of a generation."""
        usd = micros(quote["usd"])
        return cls(quote["credits"], quote["tokens"], usd, quote["plan_tokens"], quote["token_type"])


Prices = Mapping[str, Price]  # by the item's key


class Needs:
    """The sums over a plan."""

    def __init__(self, plan: Plan, prices: Prices) -> None:
        self._plan = plan
        self._prices = prices

    def price(self, generation: Generation) -> Price:
        """What one generation costs if it succeeds."""
        return self._prices[generation.item.key]

    def user(self, org: str, user: str) -> UserFigures:
        """What a user must have in the end, nothing of it held any more."""
        own = [each for each in self._plan.generations if each.org == org and each.user == user]
        room = sum(each.item.most_bytes for each in own)
        return UserFigures(
            org=org,
            user=user,
            credits=self._account(own, lambda price: price.credits, step=1_000),
            tokens=self._account(own, lambda price: price.tokens, step=500),
            storage=Level(
                sum(each.stored for each in own if each.charged), max(1, -(-room // STORAGE_STEP)) * STORAGE_STEP
            ),
            budget=Level(sum(self.price(each).usd for each in own if each.charged), budget_of(user)),
        )

    def group(self, org: str) -> GroupFigures:
        """An organisation's group in the end; the studio's is as large as what is asked for, the others twice that."""
        return GroupFigures(
            org=org,
            group=f"{GROUP}.{self._plan.run}",
            members=len(self._plan.users[org]),
            image=self._counted(org, "image"),
            video=self._counted(org, "video"),
        )

    def plan_tokens(self, org: str, *, charged_only: bool) -> dict[str, int]:
        """Plan tokens by type that are charged in the end, or that are held for a while."""
        needed: dict[str, int] = {}
        for each in self._plan.generations:
            price = self.price(each)
            if each.org == org and price.token_type and (each.charged or not charged_only):
                needed[price.token_type] = needed.get(price.token_type, 0) + price.plan_tokens
        return needed

    def users(self) -> list[UserFigures]:
        return [self.user(org, user) for org, users in self._plan.users.items() for user in users]

    def groups(self) -> list[GroupFigures]:
        return [self.group(org) for org in BUSY]

    def _account(self, own: Iterable[Generation], amount: Callable[[Price], int], *, step: int) -> Level:
        asked = charged = 0
        for each in own:
            asked += amount(self.price(each))
            charged += amount(self.price(each)) if each.charged else 0
        return Level(charged, max(1, -(-asked * ROOM_PERCENT // 100 // step)) * step)

    def _counted(self, org: str, what: str) -> Level:
        operations = IMAGE_LIKE if what == "image" else {VIDEO}
        own = [each for each in self._plan.generations if each.org == org and each.item.operation in operations]
        limit = len(own) if org == STUDIO else 2 * len(own)
        return Level(sum(each.charged for each in own), max(1, limit))
