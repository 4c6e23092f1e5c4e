"""What the demo will do, drawn beforehand from a seed, so that what must come out is known: who asks for what."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.budgets.state import DEFAULT_BUDGET
from domain.generations.request import MB
from domain.plans.catalogue import FEATURES
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import OptionValue, PriceEntry
from domain.resources.storage import IMAGE_BYTES, VIDEO_BYTES

SONG_BYTES = 4 * MB
SIZES = {"image": IMAGE_BYTES, "video": VIDEO_BYTES, "music": SONG_BYTES}  # the most that one of them stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to be asked for. `usd` is what it costs at first, in micro-USD, so that a plan keeps within budgets."""

    operation: str
    provider: str | None = None
    model: str | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    feature: str | None = None
    token_type: str | None = None
    usd: int = 0

    @property
    def asked(self) -> dict[str, Any]:
        """The part of a request that names it."""
        named = ("operation", "provider", "model", "feature", "token_type")
        given = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        return given | ({"options": self.options} if self.options else {})

    @property
    def key(self) -> str:
        """The same for the same thing."""
        return str(sorted(self.asked.items()))

    @property
    def most_bytes(self) -> int:
        """What it stores at most; 0 for what stores nothing."""
        return SIZES.get(self.operation, 0)


def _of(entry: PriceEntry) -> Item:
    """What an entry of the price book is for; a song is as long as its price allows."""
    return Item(
        operation=entry.operation or "",
        provider=entry.provider,
        model=entry.model,
        options={**entry.options, **entry.at_most},
        usd=entry.usd_micros or 0,
    )


CHAT = Item(operation="chat")
IN_CREDITS = tuple(_of(entry) for entry in CATALOGUE if entry.credits)
IN_MONEY = tuple(_of(entry) for entry in CATALOGUE if entry.usd_micros)
OF_THE_PLAN = (
    *(Item(operation=feature.name, feature=feature.name) for feature in FEATURES if feature.name != "general"),
    Item(operation="general", token_type="general"),  # noqa: S106 - a kind of token, no password
)
ITEMS = (*IN_CREDITS, *IN_MONEY, CHAT, *OF_THE_PLAN)

_KINDS = (IN_CREDITS, IN_MONEY, (CHAT,), OF_THE_PLAN)
_SHARES = (56, 18, 14, 12)  # percent of the traffic


def draw(chance: random.Random) -> Item:
    """Something to ask for."""
    (kind,) = chance.choices(_KINDS, weights=_SHARES)
    return chance.choice(kind)


STUDIO, AGENCY, LAB = "demo-studio", "demo-agency", "demo-lab"
PLANS = {STUDIO: "pro", AGENCY: "enterprise", LAB: "starter"}  # of each organisation; no user generates on starter
BUSY = (STUDIO, AGENCY)
NAMES = ("ann", "ben", "cleo", "dev", "eve")
RAISED = ("eve", 25_000_000)  # whose budget is more than the default, in micro-USD
SHORT_TTL_S = 4  # of a hold that no worker settles in time
PATIENT_TTL_S = 300


class Fate(StrEnum):
    """How a generation ends."""

    SUCCEEDS = "succeeds"
    SUCCEEDS_TWICE = "reported twice"  # the worker's message comes two times
    FAILS = "fails"
    NEVER_SETTLED = "never settled"
    TOO_LATE = "reported too late"  # the message comes after the hold has expired


SHARES = {
    Fate.SUCCEEDS: 66,
    Fate.SUCCEEDS_TWICE: 10,
    Fate.FAILS: 14,
    Fate.NEVER_SETTLED: 6,
    Fate.TOO_LATE: 4,
}
# Who comes too late is charged from what is available, and everybody here has enough (contract).
CHARGED = (Fate.SUCCEEDS, Fate.SUCCEEDS_TWICE, Fate.TOO_LATE)
EXPIRING = (Fate.NEVER_SETTLED, Fate.TOO_LATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation to be simulated. `by_user`: asked for with the user's own token, else by a worker for them.

    `stored` is the size in bytes of what it makes, `cost` what the provider takes in micro-USD.
    """

    id: str
    org: str
    user: str
    item: Item
    fate: Fate
    by_user: bool
    takes_s: float
    stored: int
    cost: int

    @property
    def charged(self) -> bool:
        """Whether it costs anything in the end."""
        return self.fate in CHARGED


@dataclass(frozen=True, slots=True)
class Plan:
    """All generations, in order, and the users by organisation. `run` is in every id, so that runs never meet."""

    run: str
    generations: tuple[Generation, ...]
    users: dict[str, tuple[str, ...]]


def make_plan(run: str, count: int, seed: int, own_requests: int = 10) -> Plan:
    """`count` (1 or more) generations; with 20 or more each fate occurs. The same arguments give the same plan.

    `own_requests`: how many a user may ask for with their own token in all (the rate limit); 0 for any number.
    """
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    users = {org: tuple(f"{name}.{run}" for name in NAMES) for org in BUSY}
    fates = list(Fate) if count >= 20 else [Fate.SUCCEEDS]
    fates += chance.choices(list(SHARES), weights=list(SHARES.values()), k=max(count - len(fates), 0))
    fates = _in_order(fates, chance)
    asked: Counter[tuple[str, str]] = Counter()
    spent: defaultdict[tuple[str, str], int] = defaultdict(int)
    generations = []
    for number, fate in enumerate(fates):
        org = chance.choice(BUSY)
        user = chance.choice(users[org])
        item = draw(chance)
        if spent[org, user] + item.usd > budget_of(user):
            item = CHAT
        spent[org, user] += item.usd
        by_user = chance.random() < 0.5 and (not own_requests or asked[org, user] < own_requests)
        asked[org, user] += by_user
        generations.append(_generation(f"demo.{run}.{number}", org, user, item, fate, chance, by_user=by_user))
    return Plan(run, tuple(generations), users)


def _in_order(fates: list[Fate], chance: random.Random) -> list[Fate]:
    """At random, but what is waited for longest is in the first half, so that the others go on meanwhile."""
    long = [fate for fate in fates if fate in EXPIRING]
    others = [fate for fate in fates if fate not in EXPIRING]
    chance.shuffle(others)
    half = max(len(others) // 2 - len(long), 0)
    first = [*long, *others[:half]]
    chance.shuffle(first)
    return [*first, *others[half:]]


def budget_of(user: str) -> int:
    """A user's monthly budget in micro-USD."""
    name, raised = RAISED
    return raised if user.startswith(f"{name}.") else DEFAULT_BUDGET


def _generation(
    id_: str, org: str, user: str, item: Item, fate: Fate, chance: random.Random, *, by_user: bool
) -> Generation:
    return Generation(
        id=id_,
        org=org,
        user=user,
        item=item,
        fate=fate,
        by_user=by_user,
        takes_s=chance.uniform(0.05, 0.4),
        stored=chance.randint(item.most_bytes // 3, item.most_bytes),
        cost=chance.randint(1_000, 300_000),
    )
