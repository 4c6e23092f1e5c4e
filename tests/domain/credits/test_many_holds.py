"""An account with as many holds or grants as may be costs a request little more than one with a few."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from domain.bounds import MAX_SLICES
from domain.credits.account import Account, Hold
from domain.credits.address import stream_of
from domain.credits.burn import Grants, take
from domain.credits.commands import Capture, Extend, Release, Reserve
from domain.credits.due import due
from domain.credits.events import Slice
from domain.kernel.holds import Holds
from domain.kernel.memory import Memory
from domain.plans.deduct import TokensNow
from domain.quotas.events import UseExtended, UseHeld, UseReleased
from domain.quotas.quota import Quota, UseHold
from domain.quotas.quota import due as quota_due
from domain.quotas.quota import evolve as quota_evolve
from domain.registry import SCRIP
from tests.domain.scenario import ALICE, NOW, after

MANY = 99_000
PART = Slice("g1", 1, "purchase", 50, None, NOW)
looks = 0


class CountedHold(Hold):
    """A hold of an account that counts how often any is looked at."""

    @property
    def expires_at(self) -> datetime:
        global looks  # noqa: PLW0603
        looks += 1
        return self[1]


class CountedUse(UseHold):
    """The same of a quota."""

    @property
    def expires_at(self) -> datetime:
        global looks  # noqa: PLW0603
        looks += 1
        return self[1]


@contextmanager
def looks_at_most(count: int) -> Iterator[None]:
    before = looks
    yield
    assert looks - before <= count


def test_no_command_looks_at_the_holds_of_others() -> None:
    holds: Holds[Hold] = Holds.of({f"h{n}": CountedHold(1, after(100 + n), (PART,)) for n in range(MANY)})
    account = Account(
        exists=True, granted=10**6, free=10**6 - MANY, reserved=MANY, holds=holds, next_due=NOW,
        grants=Grants.of([PART._replace(amount=10**6 - MANY)]),
    )  # fmt: skip
    stream = stream_of(ALICE)
    memory = Memory(SCRIP, "platform")
    memory.put("acme", stream, account)
    commands = [
        Reserve(address=ALICE, reservation_id="r1", amount=5),
        Extend(address=ALICE, reservation_id="r1", ttl_s=900),
        Extend(address=ALICE, reservation_id="h9", ttl_s=900),
        Capture(address=ALICE, reservation_id="r1", debit_id="d1"),
        Capture(address=ALICE, reservation_id="h9", debit_id="d2"),
        Release(address=ALICE, reservation_id="h8"),
    ]
    with looks_at_most(10 * len(commands)):
        for command in commands:
            assert memory.run(command, "acme", after(50)).refusal is None
    account = memory.state("acme", stream)
    with looks_at_most(20):
        assert [event.reservation_id for event in due(account, after(102))] == ["h0", "h1", "h2"]  # type: ignore[union-attr]
        assert account.next_due == after(100)


def test_no_question_looks_at_the_holds_of_others() -> None:
    holds: Holds[Hold] = Holds.of({f"h{n}": CountedHold(1, after(100 + n), (PART,)) for n in range(MANY)})
    address = "org:acme:tokens.forecast"
    account = Account(exists=True, granted=2 * MANY, free=MANY, reserved=MANY, holds=holds, next_due=NOW)
    memory = Memory(SCRIP, "platform")
    memory.put("acme", stream_of(address), account._replace(grants=Grants.of([PART._replace(amount=MANY)])))
    question = TokensNow(token_type="forecast", user="u")
    for seconds, ended in ((50, 0), (102, 3)):
        with looks_at_most(20):
            assert memory.ask(question, "acme", after(seconds)).balance == MANY + ended


def test_no_use_looks_at_the_holds_of_others() -> None:
    holds: Holds[UseHold] = Holds.of({f"h{n}": CountedUse({"bytes": 1}, after(100 + n), "") for n in range(MANY)})
    quota = Quota(held={"bytes": MANY}, holds=holds, next_due=NOW)
    with looks_at_most(20):
        assert quota_due(quota, after(50)) == ()
        assert quota.holds.next_end == after(100)
        for event in (
            UseHeld(generation_id="g", amounts={"bytes": 5}, expires_at=after(9)),
            UseExtended(generation_id="h7", grown={}, expires_at=after(900)),
            UseReleased(generation_id="g", amounts={"bytes": 5}),
        ):
            quota = quota_evolve(quota, event)
        assert len(quota_due(quota, after(102))) == 3
        assert quota.next_due == after(100)


def test_no_more_grants_are_taken_than_one_too_many() -> None:
    grants = tuple(PART._replace(grant=f"g{number:05}") for number in range(10_000))
    live = Grants.of(grants)
    assert take(live, 3) == grants[:3]
    assert take(live, MAX_SLICES) == grants[:MAX_SLICES]
    assert take(live, 9_000) == grants[: MAX_SLICES + 1], "enough to be refused"
    assert take(Grants.of(grants[:MAX_SLICES]), MAX_SLICES + 5)[-1].amount == 5, "what no grant covers is below zero"
    assert take(Grants.of(grants[: MAX_SLICES + 1]), MAX_SLICES + 6)[-1].amount == 5
