"""Generations that are made elsewhere count against every group of the user (S1)."""

from datetime import UTC, datetime

import pytest

from domain.groups.commands import CreateGroup, DeleteGroup, TightestGroup, TrackGeneration, count_use
from domain.groups.now import Room, tightest
from domain.groups.refusals import GroupLimit, InvalidGroup
from domain.groups.state import MAX_LIMIT
from domain.periods import Every
from domain.quotas.events import PeriodEnded, PeriodStarted, UseCounted, UseHeld
from tests.domain.groups.facts import G1, G2, add, counted, create, group, track
from tests.domain.scenario import NOW, Scenario, after


def full(group_id: str = "g1", what: str = "image", limit: int = 3, used: int = 3) -> GroupLimit:
    return GroupLimit(group_id=group_id, what=what, limit=limit, used=used, remaining=max(0, limit - used))


def in_two_groups(first: int, second: int) -> Scenario:
    return Scenario().done(
        create(image=first), create("g2", image=second), add("anna", "ben"), add("anna", group_id="g2")
    )


def test_s1_at_the_limit_further_generations_are_refused() -> None:
    """S1-3."""
    scenario = Scenario().done(create(image=3), add("anna", "ben"))
    scenario.when(TrackGeneration(user="anna", what="image")).then((G1, counted()))
    scenario.done(track(count=2, user="ben"))
    scenario.when(track()).then_refused(full())
    assert group(scenario).quota.used == {"image": 3}
    assert str(full()) == "The image limit of the group g1 is reached: 3 of 3 are used, 0 are left."


def test_s1_images_and_videos_have_separate_limits() -> None:
    """S1-1."""
    scenario = Scenario().done(create(image=1, video=0), add("anna"), track())
    scenario.when(track()).then_refused(full(limit=1, used=1))
    scenario.when(track("video")).then_refused(full(what="video", limit=0, used=0))
    Scenario().done(create(image=0), add("anna"), track("video", 1000))


def test_exactly_enough_passes_and_one_more_does_not() -> None:
    scenario = Scenario().done(create(image=3), add("anna"))
    scenario.when(track(count=4)).then_refused(full(used=0))
    scenario.when(track(count=3)).then((G1, counted(count=3)))


def test_in_no_group_a_user_is_not_limited() -> None:
    Scenario().done(create(image=0)).when(track()).then_nothing()


def test_every_groups_limit_holds() -> None:
    """S1-3."""
    scenario = in_two_groups(3, 5)
    scenario.when(track(count=2)).then((G1, counted(count=2)), (G2, counted(count=2)))
    scenario.when(track(count=2)).then_refused(full(used=2))
    assert group(scenario, "g2").quota.used == {"image": 2}


def test_the_refusing_group_with_least_left_is_named() -> None:
    scenario = in_two_groups(3, 2)
    scenario.when(track(count=4)).then_refused(full("g2", limit=2, used=0))
    scenario.when(track(count=3)).then_refused(full("g2", limit=2, used=0))
    in_two_groups(2, 2).when(track(count=3)).then_refused(full("g1", limit=2, used=0))


def test_a_group_without_a_limit_counts_all_the_same() -> None:
    """S1-4: usage is known for every group, so that a limit that is set later finds it."""
    scenario = Scenario().done(create(), add("anna"))
    scenario.when(track("video", 7)).then((G1, counted("video", 7)))


def test_what_is_held_leaves_no_room_until_it_ends() -> None:
    held = UseHeld(generation_id="j1", amounts={"image": 3}, expires_at=after(60))
    scenario = Scenario().done(create(image=3), add("anna")).given(held, of=G1)
    scenario.when(track()).then_refused(full())


def test_a_limit_per_day_starts_anew() -> None:
    """S1-4."""
    scenario = Scenario().done(create(every=Every.DAY, image=2), add("anna"))
    day, midnight = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    first = PeriodStarted(key="2026-03-01", start=day, end=midnight)
    scenario.when(track(count=2)).then((G1, first), (G1, counted(count=2)))
    scenario.when(track()).then_refused(full(limit=2, used=2))
    ended = PeriodEnded(key="2026-03-01", used={"image": 2})
    second = PeriodStarted(key="2026-03-02", start=midnight, end=datetime(2026, 3, 3, tzinfo=UTC))
    scenario.at(midnight).when(track()).then((G1, second), (G1, counted()), due=((G1, ended),))


def test_a_refusal_begins_no_period() -> None:
    scenario = Scenario().done(create(every=Every.DAY, image=0), add("anna"))
    scenario.when(track()).then_refused(full(limit=0, used=0))


def test_a_deleted_group_limits_nobody() -> None:
    scenario = in_two_groups(0, 5).done(DeleteGroup(group_id="g1"))
    scenario.when(track()).then((G2, counted()))


@pytest.mark.parametrize(
    ("command", "field"),
    [(track("music"), "type"), (track(count=0), "count"), (track(count=-1), "count"), (track(count=10**13), "count")],
)
def test_values_are_in_bounds(command: object, field: str) -> None:
    reasons = {"type": ("must be image or video", None), "count": (f"must be from 1 to {MAX_LIMIT}", MAX_LIMIT)}
    reason, limit = reasons[field]
    refusal = InvalidGroup(field=field, reason=reason, limit=limit)
    Scenario().done(create(), add("anna")).when(command).then_refused(refusal)
    Scenario().done(create(), add("anna"), track(count=MAX_LIMIT))


def test_the_group_with_least_left_answers() -> None:
    scenario = in_two_groups(9, 5).done(track(count=2), track(count=5, user="ben"))
    question = TightestGroup(user="anna", what="image")
    room = scenario.ask(question)
    assert room == Room("g1", "image", 9, 7)
    assert room.remaining == 2
    assert scenario.ask(TightestGroup(user="anna", what="video")) == Room("g1", "video", None, 0)
    assert scenario.ask(TightestGroup(user="zoe", what="image")) is None


def test_the_tightest_room_is_a_limited_one_and_the_first_of_equals() -> None:
    free, five, also_five = Room("a", "image", None, 0), Room("b", "image", 6, 1), Room("c", "image", 5, 0)
    overfull = Room("d", "image", 1, 9)
    assert tightest([free, five, also_five]) == five
    assert tightest([free, five, overfull]) == overfull
    assert tightest([free]) == free
    assert tightest([]) is None


def test_s3_a_team_quota_of_tokens_is_a_limit_like_the_others() -> None:
    scenario = Scenario().done(CreateGroup(group_id="g1", name="Team", limits={"tokens.forecast": 10}), add("anna"))
    use = UseCounted(amounts={"tokens.forecast": 8}, user="anna", ref="d1")
    work = scenario.ledger.work(NOW)
    count_use(work, "anna", "tokens.forecast", 8, "d1")
    assert work.emitted == [(G1, use)]
    scenario.given(use, of=G1)
    with pytest.raises(GroupLimit) as refused:
        count_use(scenario.ledger.work(NOW), "anna", "tokens.forecast", 4, "d2")
    assert refused.value == full(what="tokens.forecast", limit=10, used=8)
    assert str(refused.value).startswith("The forecast token limit of the group g1 is reached")
