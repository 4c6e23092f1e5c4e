"""One user with hundreds of reads at a time waits for themselves: other organisations and users are served."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import httpx
import psycopg
import pytest

from benchmarks.attacks import victim
from cli.service.tokens import signed_token
from infra.settings import Settings
from projections import versions
from tests.api.service import project, settings_of
from tests.conftest import Database
from tests.loopback import caller
from tests.waiting import joined, patient, wait_until

CONNECTIONS = 250
READS = 15
LIST = "/api/v1/generations?limit=200"


class Greedy:
    """What one login's connections are answered; each asks again at once."""

    def __init__(self, port: int, token: str, path: str) -> None:
        self.answers: Counter[int] = Counter()
        self._port, self._stopped = port, Event()
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as all_:
            for _ in range(CONNECTIONS):
                all_.create_task(self._ask())

    def stop(self) -> None:
        self._stopped.set()

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=("127.0.0.2", 0))
        try:
            while not self._stopped.is_set():
                writer.write(self._request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                self.answers[int(head.split()[1])] += 1
        finally:
            writer.close()


@pytest.fixture(scope="module")
def api(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Api"]:
    """An API process of its own, with 200 generations of each of three users in two organisations."""
    versions.ensure(module_database.projector_uri)
    settings = settings_of(module_database)
    with victim(settings, tmp_path_factory.mktemp("api")) as made:
        api = Api(made.target.port, settings, module_database)
        for org, user in (("acme", "greedy"), ("acme", "modest"), ("globex", "gus")):
            with api.client("org_admin", "boss", org) as boss:
                gift = {"amount": 1_000_000, "source": "gift"}
                assert boss.post(f"/api/v1/accounts/user:{user}:tokens/grants", json=gift).status_code == 201
                asked = {"path": "/api/v1/generations", "body": {"operation": "chat", "user_id": user}}
                answer = boss.post("/api/v1/batch", json={"operations": [asked] * 200})
                assert {each["status"] for each in answer.json()["results"]} == {201}, answer.text
        project(module_database)
        yield api


class Api:
    """The process, and logins for it."""

    def __init__(self, port: int, settings: Settings, database: Database) -> None:
        self.port, self._settings, self.database = port, settings, database

    def token(self, role: str, sub: str, org: str) -> str:
        return signed_token(self._settings, org=org, sub=sub, role=role, ttl_s=600)

    def client(self, role: str, sub: str, org: str) -> httpx.Client:
        login = {"Authorization": f"Bearer {self.token(role, sub, org)}"}
        return caller(f"http://127.0.0.1:{self.port}", headers=login, timeout=patient(20))

    @contextmanager
    def under_attack(self, path: str) -> Iterator[Greedy]:
        """While `greedy` of acme reads `path` on many connections, and is answered that this is too much."""
        greedy = Greedy(self.port, self.token("user", "greedy", "acme"), path)
        thread = Thread(target=lambda: asyncio.run(greedy.run()))
        thread.start()
        try:
            wait_until(lambda: greedy.answers.total() > CONNECTIONS, 30, "the attack is under way")
            yield greedy
        finally:
            greedy.stop()
            joined(thread)


def test_many_reads_of_one_user_keep_nobody_else_out(api: Api) -> None:
    others = [api.client("org_admin", "gwen", "globex"), api.client("user", "modest", "acme")]
    with api.under_attack(LIST) as greedy:
        for _ in range(READS):
            answers = [other.get(LIST) for other in others]
            assert [answer.status_code for answer in answers] == [200, 200], answers[0].text[:200]
            assert [len(answer.json()["items"]) for answer in answers] == [200, 200]
    assert set(greedy.answers) <= {200, 429, 503}, greedy.answers
    assert greedy.answers[429], "what is beyond their place in the queue is refused; the rest waits for their own reads"
    for other in others:
        other.close()


def test_reads_that_hang_leave_places_for_others(api: Api) -> None:
    """Where each read of one user takes seconds, turns alone do not help: places must be left."""
    others = [api.client("org_admin", "gwen", "globex"), api.client("user", "modest", "acme")]
    paths = ["/api/v1/accounts", "/api/v1/accounts/user:modest:tokens/transactions"]
    with psycopg.connect(api.database.owner_uri) as connection:
        connection.execute("lock table read_g1.generations in access exclusive mode")
        with api.under_attack(LIST) as greedy:
            for _ in range(READS):
                for other, path in zip(others, paths, strict=True):
                    answer = other.get(path)
                    assert answer.status_code == 200, answer.text
    assert set(greedy.answers) <= {200, 429, 503}, greedy.answers
    for other in others:
        other.close()
