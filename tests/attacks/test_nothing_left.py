"""What a request leaves behind is gone when it has its answer, without the collector (docs/decisions/0007-*.md)."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.api.service import Service
from tests.api.wire import Wire, request
from tests.console.conftest import Visitor, csrf_of, site, visitor  # noqa: F401 - fixtures

TIMES = 12
OURS = ("api.", "console.", "domain.", "infra.", "uvicorn.", "starlette.")
HELD = {"frame", "traceback", "coroutine"}

JSON = {"Content-Type": "application/json"}

Do = Callable[[], object]


@contextmanager
def _rings() -> Iterator[Counter[str]]:
    """Counts what only the collector could free, by type; without what asyncio's own transports leave."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        for each in gc.garbage:
            kind = type(each)
            if kind.__name__ in HELD or kind.__module__.startswith(OURS):
                found[f"{kind.__module__}.{kind.__qualname__}"] += 1
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()


def _ways(service: Service, person: httpx.Client) -> dict[str, Do]:
    boss, nobody = service.client(), service.client(None)
    path = "/api/v1/accounts/user:poor:credits"
    reserve: dict[str, Any] = {"json": {"amount": 10}}
    csrf = csrf_of(nobody.get("/login").text)

    def wire(*sent: bytes) -> Do:
        def send() -> None:
            with Wire(service) as made:
                made.send(*sent)
                made.answer()

        return send

    batch = request(service, "/api/v1/batch", "Content-Type: application/json", "Content-Length: 60000")
    return {
        "a read": lambda: boss.get(f"{path}/balance"),
        "a list": lambda: boss.get("/api/v1/events?limit=5"),
        "a command": lambda: boss.post(f"{path}1/grants", json={"amount": 1, "source": "gift"}),
        "a refused command": lambda: boss.post(f"{path}/reservations", **reserve),
        "a refused batch": lambda: boss.post(
            "/api/v1/batch", json={"operations": [{"path": f"{path}/reservations", "body": {"amount": 1}}] * 3}
        ),
        "a bad value": lambda: boss.post(f"{path}/reservations", json={"amount": "x"}),
        "a bad text": lambda: boss.post(
            f"{path}/reservations", content=b"{", headers={"Content-Type": "application/json"}
        ),
        "a large body": lambda: boss.post(f"{path}/reservations", content=b" " * 70_000),
        "a bad query": lambda: boss.get("/api/v1/events?limit=x"),
        "a bad login": lambda: nobody.get(f"{path}/balance", headers={"Authorization": "Bearer a.b.c"}),
        "no login": lambda: nobody.get(f"{path}/balance"),
        "no such path": lambda: boss.get("/api/nothing"),
        "the document": lambda: nobody.get("/api/openapi.json"),
        "a file": lambda: nobody.get("/static/console.css"),
        "the sign-in": lambda: nobody.get("/login"),
        "a bad sign-in": lambda: nobody.post("/login", data={"csrf": csrf, "org": " ", "sub": "a", "role": "x"}),
        "a page": lambda: person.get("/"),
        "a forged form": lambda: person.post("/generations/delete", data={"id": "a"}),
        "a large form": lambda: person.post("/generations/delete", data={"id": "a" * 3_000_000}),
        "a head that is none": wire(b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n"),
        "a body that is cut": wire(request(service, "/livez", method="GET"), batch + b" " * 50_000),
        "requests in a row": wire(request(service, "/livez", method="GET") * 30),
    }


def test_nothing_is_left_in_a_ring(site: Service, visitor: Visitor) -> None:  # noqa: F811 - fixtures
    ways = _ways(site, visitor())
    for do in ways.values():
        do()
    with _rings() as found:
        for do in ways.values():
            for _ in range(TIMES):
                do()
    assert not {kind: count for kind, count in found.items() if count >= TIMES}, "of which way tells a run of one"


def test_rings_are_seen() -> None:
    class Ring:
        """One."""

    Ring.__module__ = "api.ring"
    with _rings() as found:
        one = Ring()
        one.itself = one  # type: ignore[attr-defined]
        del one
    assert sum(found.values()) == 1
