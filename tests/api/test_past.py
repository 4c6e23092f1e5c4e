"""Answers from the past cost their caller nothing, so what one of them may take is bounded."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event
from typing import Any

import httpx
import psycopg
import pytest

from api.accounts import reads as accounts_reads
from api.http import limits
from api.log import reads as log_reads
from domain.credits.account import Account
from domain.registry import SCRIP
from infra.log.snapshots import encode_state
from tests.api.service import ORG, Service, address
from tests.waiting import ENOUGH_S, wait_until

DEBITS = 6


@pytest.fixture
def account(service: Service) -> str:
    """One with a grant of 100, then `DEBITS` debits of 1."""
    made, client = address(), service.client()
    client.post(f"/api/v1/accounts/{made}/grants", json={"amount": 100, "source": "gift"})
    for _ in range(DEBITS):
        assert client.post(f"/api/v1/accounts/{made}/debits", json={"amount": 1}).status_code == 201
    return made


def times(service: Service, account: str) -> list[str]:
    """When its events were stored."""
    with psycopg.connect(service.database.owner_uri, options="-c timezone=UTC") as connection:
        rows = connection.execute("select time from events where stream = %s order by version", (f"account/{account}",))
        return [time.isoformat() for (time,) in rows]


def asked(client: httpx.Client, account: str, known_at: str) -> httpx.Response:
    return client.get(f"/api/v1/accounts/{account}/balance", params={"known_at": known_at})


def limit_folds(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    for module in (accounts_reads, log_reads):
        monkeypatch.setattr(module, "MOST_FOLDED", most, raising=False)


def test_every_moment_has_its_balance_however_the_history_is_cut(
    service: Service, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for chunk in (1, 3, 2_000):
        monkeypatch.setattr(log_reads, "CHUNK", chunk)
        found = [asked(service.client(), account, time).json() for time in times(service, account)]
        assert [each["available"] for each in found] == [100 - n for n in range(DEBITS + 1)]
        assert len({each["position"] for each in found}) == DEBITS + 1


def test_a_long_history_is_refused_and_what_came_later_does_not_count(
    service: Service, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_folds(monkeypatch, 3)
    at = times(service, account)
    assert [asked(service.client(), account, time).json().get("available") for time in at[:3]] == [100, 99, 98]
    refused = asked(service.client(), account, at[3])
    assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (422, "too_many_events", 3)
    assert asked(service.client(), account, datetime.now(UTC).isoformat()).status_code == 422


def test_a_snapshot_shortens_it(service: Service, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at, stream = times(service, account), f"account/{account}"
    state: Account = SCRIP.kind_of(stream).initial
    with psycopg.connect(service.database.owner_uri) as owner:
        rows = owner.execute(
            "select version, type, data from events where stream = %s and version <= 4 order by version", (stream,)
        ).fetchall()
        named = [{"type": type_, "data": data} for _, type_, data in rows]
        state = log_reads._fold(stream, state, named)
        owner.execute(
            "insert into snapshots (org, stream, version, schema, state) values (%s, %s, 4, %s, %s)",
            (ORG, stream, SCRIP.kind_of(stream).schema, encode_state(state)),
        )
    limit_folds(monkeypatch, 3)
    assert [asked(service.client(), account, time).json().get("available") for time in at[4:]] == [96, 95, 94]
    assert asked(service.client(), account, at[3]).status_code == 422  # the snapshot is of later than its beginning


class Held:
    """Folding that waits. `begun`: how many wait, or have; `go` lets them."""

    def __init__(self) -> None:
        self.begun, self.go, self._fold = 0, Event(), log_reads._fold

    def __call__(self, *given: Any) -> Any:
        self.begun += 1
        assert self.go.wait(ENOUGH_S)
        return self._fold(*given)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Every answer from the past waits for it."""
    fold = Held()
    monkeypatch.setattr(log_reads, "_fold", fold)
    yield fold
    fold.go.set()


def test_one_login_and_one_organisation_have_so_many_at_a_time(
    service: Service, account: str, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLDS_OF_ORG", limits.FOLDS_OF_LOGIN + 1)
    at = times(service, account)[-1]
    clients = [service.client(), *(service.client("auditor", sub=f"a{n}") for n in range(2))]

    def ask(client: httpx.Client) -> Callable[[], httpx.Response]:
        return lambda: asked(client, account, at)

    with ThreadPoolExecutor(limits.FOLDS_OF_ORG) as callers:
        waiting = [callers.submit(ask(clients[0])) for _ in range(limits.FOLDS_OF_LOGIN)]
        wait_until(lambda: held.begun == limits.FOLDS_OF_LOGIN, ENOUGH_S, "the login's are folded")
        refused = asked(clients[0], account, at)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_past_answers")
        assert (refused.json()["limit"], refused.headers["retry-after"]) == (limits.FOLDS_OF_LOGIN, "1")
        waiting.append(callers.submit(ask(clients[1])))
        wait_until(lambda: held.begun == limits.FOLDS_OF_ORG, ENOUGH_S, "so is somebody else's")
        refused = asked(clients[2], account, at)
        assert (refused.status_code, refused.json()["limit"]) == (429, limits.FOLDS_OF_ORG)
        # What folds nothing is answered meanwhile.
        assert clients[0].get(f"/api/v1/accounts/{account}/balance").status_code == 200
        held.go.set()
        assert [each.result(ENOUGH_S).status_code for each in waiting] == [200] * 3
    assert service.services.folds.used == 0


def test_a_process_has_so_many_at_a_time_and_each_so_much_time(
    service: Service, account: str, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLD_S", 0.1)
    late = asked(service.client(), account, times(service, account)[-1])
    assert (late.status_code, late.json()["code"], late.headers["retry-after"]) == (503, "unavailable", "1")
    monkeypatch.setattr(limits, "FOLDS", 0)
    full = asked(service.client(), account, times(service, account)[-1])
    assert (full.status_code, full.json()["code"], full.headers["retry-after"]) == (503, "overloaded", "1")
    held.go.set()
