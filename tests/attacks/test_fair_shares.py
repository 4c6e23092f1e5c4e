"""A few addresses, or one login, take all that there is for everybody: the others are served all the same."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from api.fair_share import fits
from api.http import connection, limits
from api.http.connection import COST
from api.http.limits import LITTLE, MAX_BYTES, MAX_OF_LOGIN, MAX_OF_ORG, Crowd, LargeBodies
from api.http.problems import Problem
from api.log import tail
from infra.security.principal import Principal, Role
from tests.api.conftest import service  # noqa: F401 - one API for this module
from tests.api.service import Service
from tests.api.wire import Answer, Wire, request
from tests.waiting import ENOUGH_S, wait_until

JSON = "Content-Type: application/json"
GENERATION = {"operation": "image", "prompt": "a tree"}


class Edge:
    """The service, and callers from other addresses of this machine."""

    def __init__(self, service: Service, open_: ExitStack) -> None:  # noqa: F811 - the fixture's value
        crowd = service.services.metrics.crowd
        assert crowd is not None
        self.service, self.crowd, self._open = service, crowd, open_

    def from_(self, number: int, sent: bytes, room: int | None = None) -> Wire:
        """A connection from 127.0.0.`number` on which this is sent. `room`: bytes that it takes in, about."""
        wire = self._open.enter_context(Wire(self.service, f"127.0.0.{number}", room))
        wire.send(sent)
        return wire

    def held(self, body: int, announced: int = 1_000_000) -> bytes:
        """A request that has begun, with so many bytes of a longer body."""
        return request(self.service, "/api/v1/batch", JSON, f"Content-Length: {announced}") + b" " * body


@pytest.fixture
def edge(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:  # noqa: F811 - the fixture
    """With nothing held before and after, and with more time for slow callers than a test takes."""
    monkeypatch.setattr(connection, "HEAD_S", ENOUGH_S)
    monkeypatch.setattr(connection, "BODY_S", ENOUGH_S)
    monkeypatch.setattr(connection, "UNREAD_S", ENOUGH_S)
    with ExitStack() as open_:
        made = Edge(service, open_)
        wait_until(lambda: not made.crowd.held and not made.crowd.unread, 5, "nothing is held")
        yield made
    wait_until(lambda: not made.crowd.held and not made.crowd.unread, 10, "all is given back")
    wait_until(lambda: not service.services.large_bodies.taken, 10, "no large body any more")


def test_six_addresses_that_fill_the_memory_of_requests_stop_nobody(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody got 503, /livez included. Who has little has a reserve; for the others who has far more is cut."""
    greedy = [edge.from_(number, edge.held(250_000)) for number in range(2, 8)]
    wait_until(lambda: edge.crowd.held > 6 * 250_000, 10, "all is held")
    monkeypatch.setattr(edge.crowd, "memory", edge.crowd.held)
    cut = edge.crowd.refused["memory"]
    assert edge.service.client(None).get("/livez").status_code == 200
    assert edge.crowd.refused["memory"] == cut, "the reserve was enough"
    batch = b'{"operations":[]}' + b" " * (LITTLE + 10_000)
    whole = request(edge.service, "/api/v1/batch", JSON, f"Content-Length: {len(batch)}") + batch
    answer = edge.from_(9, whole).answer()
    assert answer is not None
    assert answer.json()["code"] == "invalid_value"
    assert edge.crowd.refused["memory"] == cut + 1
    told = [answer for wire in greedy if (answer := wire.told()) is not None]
    assert [(each.status, each.json()["code"]) for each in told] == [(503, "overloaded")]


def test_unread_answers_of_two_addresses_cut_no_other_answer(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    head = request(edge.service, "/api/openapi.json", method="GET")
    for number in (2, 2, 2, 3, 3, 3):
        before = edge.crowd.unread
        edge.from_(number, head, room=4_096)
        wait_until(lambda before=before: edge.crowd.unread > before + 65_536, 10, "it waits")  # type: ignore[misc]
    monkeypatch.setattr(edge.crowd, "memory", edge.crowd.unread)
    cut = edge.crowd.refused["unread"]
    slow = edge.from_(9, head, room=4_096)
    wait_until(lambda: edge.crowd.refused["unread"] > cut, 10, "there is no room for one more")
    answer = slow.answer()
    assert answer is not None
    assert len(answer.body) == int(answer.headers["content-length"])


def test_a_head_that_has_begun_is_counted_from_its_first_byte(edge: Edge) -> None:
    edge.from_(2, b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"a" * 3_000)
    wait_until(lambda: edge.crowd.held >= COST, 5, "it is counted")


def test_slow_bodies_of_a_few_addresses_keep_no_place(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their requests ran already, so they did not make room, and new callers got 503 for as long as they liked."""
    client = edge.service.client(None)
    free = edge.crowd.count
    for number in (2, 2, 2, 3, 3, 3):
        edge.from_(number, edge.held(1))
    wait_until(lambda: edge.crowd.held > 6 * COST, 10, "all are there")
    monkeypatch.setattr(edge.crowd, "most", free + 6)
    assert client.get("/livez").status_code == 200


def _generate(edge: Edge, sub: str, size: int) -> httpx.Response:
    text = httpx.Request("POST", "http://a", json=GENERATION).content.ljust(size)
    headers = {"Content-Type": "application/json"}
    return edge.service.client("user", sub=sub).post("/api/v1/generations", content=text, headers=headers)


def test_large_bodies_that_one_login_announces_keep_nobody_out(edge: Edge) -> None:
    """64 heads took all that their organisation may have: its other users were refused."""
    size = 262_144
    token = edge.service.token("user", sub="greedy").encode()
    head = (
        b"POST /api/v1/generations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (token, size)
    )
    greedy = [edge.from_(2, head) for _ in range(MAX_OF_ORG // size)]
    wait_until(lambda: edge.crowd.held > len(greedy) * COST, 10, "all are there")
    assert _generate(edge, "other", 100_000).status_code not in (429, 503)
    for wire in greedy:
        wire.send(b" " * (size - 1))
    room = edge.service.services.large_bodies
    wait_until(lambda: room.taken > MAX_OF_LOGIN - 2 * size, 20, "the login has all that it may")
    assert room.taken <= MAX_OF_LOGIN
    refused: list[Answer] = []

    def told() -> bool:
        refused.extend(answer for wire in greedy if (answer := wire.told()) is not None)
        return bool(refused)

    wait_until(told, 20, "the others are told")
    assert {(each.status, each.json()["code"], each.json()["limit"]) for each in refused} == {
        (429, "too_many_large_bodies", MAX_OF_LOGIN)
    }
    assert _generate(edge, "other", 100_000).status_code not in (429, 503)


def _refused(take: Callable[[], Any]) -> tuple[int, int | None]:
    with pytest.raises(Problem) as refused:
        take()
    return refused.value.status, refused.value.facts.get("limit")


def test_large_bodies_are_shared() -> None:
    """Two logins fill what their organisation has, and two organisations what all have; others have the reserve."""
    room = LargeBodies()
    assert _refused(lambda: room.take("a", "1", MAX_OF_LOGIN + 1)) == (429, MAX_OF_LOGIN)
    for login in "12":
        room.take("a", login, MAX_OF_LOGIN)
    assert _refused(lambda: room.take("a", "3", limits.LITTLE_OF_LOGIN + 1)) == (429, MAX_OF_ORG)
    room.take("a", "3", limits.LITTLE_OF_LOGIN)
    for login in "12":
        room.take("b", login, MAX_OF_LOGIN - limits.LITTLE_OF_LOGIN // 2)
    assert room.taken == MAX_BYTES
    assert _refused(lambda: room.take("c", "1", limits.LITTLE_OF_ORG + 1)) == (503, None)
    room.take("c", "1", limits.LITTLE_OF_ORG)
    room.give_back("a", "3", limits.LITTLE_OF_LOGIN)
    assert _refused(lambda: room.take("a", "1", 1)) == (429, MAX_OF_LOGIN)


def test_live_streams_are_shared(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in {
        "MOST_OF_ONE": 2,
        "MOST_OF_ORG": 4,
        "MOST_STREAMS": 8,
        "LITTLE_OF_ONE": 1,
        "LITTLE_OF_ORG": 1,
    }.items():
        monkeypatch.setattr(tail, name, most)
    live = edge.service.services.live
    assert live is not None
    with ExitStack() as open_:

        def enter(org: str, sub: str) -> None:
            open_.enter_context(live.room(Principal.of_token(org, sub, Role.USER)))

        for sub in "aabbcd":  # two more than there may be, each of a login with none
            enter("full", sub)
        assert [_refused(lambda sub=sub: enter("full", sub)) for sub in "ae"] == [(429, 2), (429, 4)]  # type: ignore[misc]
        for org in ("two", "two", "p", "q", "r", "s"):
            enter(org, "a")
        assert [_refused(lambda org=org: enter(org, "b")) for org in ("two", "t")] == [(503, None)] * 2  # type: ignore[misc]
    assert live.streams == 0


def test_a_reserve_is_a_bound_too() -> None:
    assert [fits(own, 10, total, 100) for own, total in ((90, 100), (10, 101), (11, 101), (10, 150), (1, 151))] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_behind_a_trusted_proxy_each_connection_counts_by_itself() -> None:
    """By its address, who has little would be taken for the one that has the most."""
    crowd = Crowd(100, 0, 1_000_000)
    greedy, other = crowd.enter("10.0.0.1"), crowd.enter("10.0.0.1")
    assert crowd.hold(greedy, 1_000_000)
    assert crowd.hold(other, LITTLE)
    assert not crowd.hold(other, 1)
    for guest in (greedy, other):
        crowd.hold(guest, -guest.held)
        crowd.leave(guest, gave_way=False)
    assert (crowd.held, crowd.count) == (0, 0)
