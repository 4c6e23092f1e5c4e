"""What the demo will do, drawn beforehand from a seed, so that what must come out is known."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from domain.prices.catalogue import CATALOGUE
from domain.prices.events import OptionValue, PriceEntry

ORGANISATIONS = ("demo-studio", "demo-agency")
NAMES = ("ann", "ben", "cleo", "dev", "eve")
SHORT_TTL_S = 4  # of a hold that nobody will settle in time
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
CHARGED = (Fate.SUCCEEDS, Fate.SUCCEEDS_TWICE)
EXPIRING = (Fate.NEVER_SETTLED, Fate.TOO_LATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation to be simulated. `by_user`: the user reserves with model and options, else a worker by amount."""

    number: int
    org: str
    user: str
    provider: str
    model: str
    options: dict[str, OptionValue]
    fate: Fate
    by_user: bool
    takes_s: float

    @property
    def account(self) -> str:
        """The account that pays."""
        return account_of(self.user)


def account_of(user: str) -> str:
    """A user's credits."""
    return f"user:{user}:credits"


@dataclass(frozen=True, slots=True)
class Plan:
    """All generations, in order, and the users by organisation. `run` is in every id, so that runs never meet."""

    run: str
    generations: tuple[Generation, ...]
    users: dict[str, tuple[str, ...]]


def make_plan(run: str, count: int, seed: int) -> Plan:
    """`count` (1 or more) generations; with 20 or more each fate occurs. The same arguments give the same plan."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    users = {org: tuple(f"{name}.{run}" for name in NAMES) for org in ORGANISATIONS}
    priced = [entry for entry in CATALOGUE if entry.credits and entry.provider and entry.model]
    fates = list(Fate) if count >= 20 else [Fate.SUCCEEDS]
    fates += chance.choices(list(SHARES), weights=list(SHARES.values()), k=max(count - len(fates), 0))
    chance.shuffle(fates)
    generations = (_generation(number, fate, users, priced, chance) for number, fate in enumerate(fates))
    return Plan(run, tuple(generations), users)


def _generation(
    number: int, fate: Fate, users: dict[str, tuple[str, ...]], priced: list[PriceEntry], chance: random.Random
) -> Generation:
    org = chance.choice(ORGANISATIONS)
    entry = chance.choice(priced)
    return Generation(
        number=number,
        org=org,
        user=chance.choice(users[org]),
        provider=entry.provider or "",
        model=entry.model or "",
        # A song as long as its price allows; everything else as the price book has it.
        options={**entry.options, **entry.at_most},
        fate=fate,
        # A hold for oneself lasts 15 minutes; what is to expire soon is held by a worker.
        by_user=fate not in EXPIRING and chance.random() < 0.5,
        takes_s=chance.uniform(0.05, 0.4),
    )
