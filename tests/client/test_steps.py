"""The protocol by itself: what is sent again, for how long, and what is known when it is given up."""

from collections.abc import Iterable
from typing import Any

import pytest
from scrip_client import Conflict, InsufficientResources, RateLimited, Unavailable, UnexpectedAnswer
from scrip_client.calls import create
from scrip_client.steps import Answer, Call, Lost, Pause, Publish, Record, Request, Send, Steps, perform, publish

POST = Call(Request("POST", "/x", {"a": 1}, key="k1"), lambda body: body)
BUSY = {"code": "overloaded", "detail": "busy"}
UNKNOWN = {"code": "outcome_unknown", "detail": "?"}


def told(steps: Steps[Any], results: Iterable[Answer | Lost | None]) -> tuple[Any, list[Any]]:
    """Drive to the end: what came out, and every step."""
    answers, seen = iter(results), []
    step = next(steps)
    try:
        while True:
            seen.append(step)
            step = steps.send(None if isinstance(step, Pause) else next(answers))
    except StopIteration as end:
        return end.value, seen


def sent(seen: list[Any]) -> list[str | None]:
    return [step.request.key for step in seen if isinstance(step, Send)]


@pytest.mark.parametrize(
    "first",
    [
        Lost("gone", sent=True),
        Lost("refused", sent=False),
        Answer(503, UNKNOWN, 1.0),
        Answer(502, None),
        Answer(500, {"code": "internal_error"}),
        Answer(409, {"code": "in_progress", "detail": ""}),
    ],
)
def test_what_may_pass_is_sent_again_under_the_same_key(first: Answer | Lost) -> None:
    value, seen = told(perform(POST, 30.0), [first, first, Answer(200, {"ok": 1})])
    assert value == {"ok": 1}
    assert sent(seen) == ["k1", "k1", "k1"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(402, {"code": "insufficient_credits", "detail": "short"}), InsufficientResources),
        (Answer(402, {"code": "a_reason_of_tomorrow", "detail": "short"}), InsufficientResources),
        (Answer(409, {"code": "generation_ended", "detail": "over"}), Conflict),
        (Answer(429, {"code": "rate_limited", "detail": "slow"}, 7.0), RateLimited),
        (Answer(404, None), UnexpectedAnswer),
        (Answer(302, "<html>"), UnexpectedAnswer),
    ],
)
def test_a_definite_answer_is_final(answer: Answer, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        told(perform(POST, 30.0), [answer])


def test_an_unknown_reason_is_a_refusal_with_its_numbers() -> None:
    facts = {"code": "moon_phase", "detail": "wait", "required": 3, "available": 1, "deficit": 2}
    with pytest.raises(InsufficientResources) as refused:
        told(perform(POST, 1.0), [Answer(402, facts)])
    (short,) = refused.value.short
    assert (refused.value.reason, short.resource, short.needed, short.deficit) == ("moon_phase", "moon_phase", 3, 2)


def test_retry_after_is_waited_for() -> None:
    _, seen = told(perform(POST, 30.0), [Answer(503, BUSY, 5.0), Answer(200, {})])
    (pause,) = [step for step in seen if isinstance(step, Pause)]
    assert pause.seconds == 5.0


def test_who_insists_waits_where_there_are_too_many() -> None:
    slow = Answer(429, {"code": "rate_limited", "detail": ""}, 2.0)
    value, _ = told(perform(POST, 30.0, insist=True), [slow, Answer(200, {"ok": 1})])
    assert value == {"ok": 1}
    with pytest.raises(RateLimited) as refused:
        told(perform(POST, 1.0, insist=True), [slow])
    assert refused.value.retry_after == 2.0


@pytest.mark.parametrize(
    ("result", "unknown"),
    [(Lost("gone", sent=True), True), (Lost("refused", sent=False), False), (Answer(503, UNKNOWN), True),
     (Answer(503, BUSY), False)],
)  # fmt: skip
def test_giving_up_says_whether_it_may_have_been_applied(result: Answer | Lost, unknown: bool) -> None:
    with pytest.raises(Unavailable) as given_up:
        told(perform(POST, 0.0), [result])
    assert (given_up.value.outcome_unknown, given_up.value.key) == (unknown, "k1")


def test_a_first_try_that_was_lost_is_remembered() -> None:
    def results() -> Iterable[Answer | Lost]:
        yield Lost("gone", sent=True)
        yield Answer(503, BUSY, 60.0)

    with pytest.raises(Unavailable) as given_up:
        told(perform(POST, 30.0), results())
    assert given_up.value.outcome_unknown


def test_an_answer_without_what_the_contract_promises_is_no_answer_of_ours() -> None:
    made = create({"user_id": "u", "operation": "image", "model": "m"}, key=None)
    with pytest.raises(UnexpectedAnswer, match="Created.generation_id is missing"):
        told(perform(made, 1.0), [Answer(201, {"status": "held"})])


def test_a_message_is_published_until_the_broker_has_it() -> None:
    record = Record("scrip.usage", b"k", b"{}", [])
    _, seen = told(publish(record, 30.0), [Lost("gone", sent=True), None])
    assert [step.record for step in seen if isinstance(step, Publish)] == [record, record]
    with pytest.raises(Unavailable):
        told(publish(record, 0.0), [Lost("gone", sent=True)])
