"""Issue 4 section 3, at the API's own pools: a read is of one organisation, and that costs no index."""

import asyncio
from typing import Any

import psycopg
import pytest

from api.accounts import reads as accounts_reads
from api.log import reads as log_reads
from infra.log import statements
from tests.api.service import ORG, Service, address

EVERYTHING = "select distinct org from events where %(org)s::text is not null"
ANY: dict[str, Any] = dict.fromkeys(("unit", "owner", "type", "actor", "status")) | {
    "org": ORG,
    "address": "a",
    "prefix": "",
    "id": "i",
    "stream": "s",
    "partition": 1,
    "position": 9,
    "n": 0,
    "first": 1,
    "last": 9,
    "version": 0,
    "after": "",
    "until": 9,
    "limit": 51,
    "topics": None,
    "bytes": 9,
}
NUMBER = {"after": 0}
LISTS = [
    (accounts_reads._LIST, {}),
    (accounts_reads.PAGE_OF_MOVEMENTS, {}),
    (accounts_reads._MOVEMENTS, {}),
    (accounts_reads.GRANTS, {}),
    (accounts_reads.HOLDS, NUMBER),
    (accounts_reads.DEBIT, {}),
    (statements.notifications(of_org=True, of_stream=False, desc=False, bounded=True), NUMBER),
    (statements.notifications(of_org=True, of_stream=True, desc=False, bounded=True), NUMBER),
    (log_reads._EVENTS, NUMBER),
]


def on_loop(service: Service, work: Any) -> Any:
    """The result of something that the API's own event loop does."""
    loop = service.services.database.reads._sched_runner.get_loop()  # type: ignore[union-attr]
    return asyncio.run_coroutine_threadsafe(work, loop).result(20)


@pytest.fixture(scope="module")
def two(service: Service) -> Service:
    """Two organisations have events and read models."""
    for org in (ORG, "globex"):
        path = f"/api/v1/accounts/{address()}/grants"
        assert service.client(org=org).post(path, json={"amount": 5, "source": "gift"}).status_code == 201
    service.project()
    return service


def test_a_query_that_forgets_the_organisation_shows_one_all_the_same(two: Service) -> None:
    services = two.services
    for org in (ORG, "globex", ORG):
        assert on_loop(two, services.rows(EVERYTHING, {"org": org})) == [{"org": org}]
    assert on_loop(two, services.rows(EVERYTHING, {"org": "nobody"})) == []
    seen = on_loop(two, services.rows_of_all(EVERYTHING, {"org": ORG}))
    assert {row["org"] for row in seen} >= {ORG, "globex"}


def test_a_query_without_an_organisation_is_a_mistake_and_shows_nothing(two: Service) -> None:
    with pytest.raises(KeyError):
        on_loop(two, two.services.rows("select org from events", {}))

    async def bare() -> Any:
        async with two.services.database.reads.connection() as connection:
            return await (await connection.execute("select count(*) from events")).fetchone()

    for _ in range(3):  # a connection keeps nothing of the request that it served before
        on_loop(two, two.services.rows(EVERYTHING, {"org": ORG}))
        assert on_loop(two, bare()) == (0,)


def test_a_failed_read_leaves_its_connection_clean(two: Service) -> None:
    services = two.services
    with pytest.raises(psycopg.errors.UndefinedTable):
        on_loop(two, services.rows("select %(org)s::text from nowhere", {"org": ORG}))
    assert on_loop(two, services.rows(EVERYTHING, {"org": "globex"})) == [{"org": "globex"}]


@pytest.mark.parametrize(("query", "other"), LISTS)
def test_row_level_security_takes_no_index_from_a_list(two: Service, query: str, other: dict[str, Any]) -> None:
    """The same index conditions with the policy as without; what remains of it is tested once for each query."""
    plans = []
    for uri in (two.database.auditor_uri, two.database.reader_uri):
        with psycopg.connect(uri, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off")
            lines = [row[0].strip() for row in connection.execute("explain (costs off) " + query, ANY | other)]
            plans.append([line.replace(' COLLATE "C"', "") for line in lines if line.startswith("Index Cond")])
    assert plans[0] == plans[1]
    assert plans[0]
