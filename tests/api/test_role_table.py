"""Issue 4 section 3: the full matrix. Every call x every kind of caller x own, same organisation, another organisation.

Besides the contract's rule: 403 for a role that may not, for another organisation named in header, query or body and
for what is another user's; 404 for a thing of another organisation; and all of it before a body is looked at.
"""

import re
from typing import Any

import httpx
import pytest

from api.app import ENDPOINTS
from api.http import database
from tests.api.role_table import ADMIN, CALLS, OPEN_CALLS, ROLES, USER, Line
from tests.api.service import ORG, Service

OTHER_ORG = "globex"
ME, SOMEBODY = "me", "somebody"
THINGS = {"generation", "content", "group", "thing"}  # what has an id that a stranger may try
OF_USERS = {"account", "user", "query", "body", "generation", "content"}
JUNK = {"nonsense": True}
NAMED = {"org": OTHER_ORG}
FOREIGN = {"Scrip-Organisation": OTHER_ORG}

Things = dict[tuple[str, str], str]
People = dict[tuple[str, str], httpx.Client]


@pytest.fixture(autouse=True)
def nobody_waits_for_read_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """No projector runs here."""
    monkeypatch.setattr(database, "WAIT_S", 0.05)


def plain(call: str) -> str:
    """A call without the names of its path's parts."""
    return re.sub(r"\{[^}]*\}", "{}", call)


def routes() -> set[str]:
    return {f"{each.method} {plain(each.path)}" for each in ENDPOINTS}


class Matrix:
    """One call, made by everybody about everything; `wrong` collects answers that are not as they must be."""

    def __init__(self, service: Service, people: People, things: Things, name: str) -> None:
        self._service, self._people = service, people
        self._ids = {owner: things.get((name, owner), f"no-{owner}") for owner in (ME, SOMEBODY)}
        self._line = CALLS[name]
        self._method, self._path = name.split(" ")
        self.wrong: list[str] = []

    def everybody(self) -> None:
        """All callers, those first who must be denied."""
        self._ask("anonymous", self._service.client(None), (401,), body=JUNK)
        token = self._service.token(sub=ME, ttl_s=-600)
        self._ask("expired", self._service.client(None, Authorization=f"Bearer {token}"), (401,), body=JUNK)
        for role in ROLES:
            if role not in self._line.row:
                self._denied(role)
        for role in ROLES:
            if role in self._line.row:
                self._allowed(role)

    def _denied(self, role: str) -> None:
        here, there = self._people[role, ORG], self._people[role, OTHER_ORG]
        self._ask(f"{role}, own", here, (403,), body=JUNK)
        self._ask(f"{role}, somebody's", here, (403,), SOMEBODY, body=JUNK)
        self._ask(f"{role}, naming another organisation", here, (403,), body=JUNK, headers=FOREIGN)
        self._ask(f"{role} of another organisation", there, (403,), body=JUNK)

    def _allowed(self, role: str) -> None:
        here, about = self._people[role, ORG], self._line.about
        self._strangers(role)
        if role == USER and about == "group":
            self._ask("user, a group without them", here, (403, 404), SOMEBODY)
        elif role == USER and about in OF_USERS:
            self._ask("user, somebody's", here, (403,), SOMEBODY)
        else:
            self._ask(f"{role}, somebody's", here, (), SOMEBODY)
        self._ask(f"{role}, own", here, ())

    def _strangers(self, role: str) -> None:
        here, there, line = self._people[role, ORG], self._people[role, OTHER_ORG], self._line
        if line.about in THINGS:
            self._ask(f"{role} of another organisation", there, (404,))
        if role == ADMIN:
            self._ask(
                "admin, naming another organisation", here, (404,) if line.about in THINGS else (), headers=FOREIGN
            )
            return
        if line.about == "organisation":
            self._ask(f"{role} of another organisation", there, (403, 404))
        self._ask(f"{role}, naming another organisation", here, (403,), headers=FOREIGN)
        self._ask(f"{role}, another organisation in the query", here, (403,), params=NAMED)
        if line.body:
            self._ask(f"{role}, another organisation in the body", here, (403,), body={**line.body} | NAMED)

    def _ask(
        self,
        what: str,
        client: httpx.Client,
        expected: tuple[int, ...],
        owner: str = ME,
        *,
        body: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`expected` statuses; none for any that is no denial. `body` instead of the line's."""
        about = self._line.about
        first = {"account": f"user:{owner}:credits", "user": owner, "organisation": ORG}.get(about, self._ids[owner])
        path = self._path
        for part in re.findall(r"\{[^}]*\}", path):
            path, first = path.replace(part, "0000000000000001" if "position" in part else first, 1), "none"
        if body is None:
            body = {**self._line.body} | ({"user_id": owner} if about == "body" else {})
        if about == "query":
            params = {"user_id": owner} | (params or {})
        sent = None if self._method == "GET" else body
        with client.stream(self._method, path, json=sent, params=params, headers=headers) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):  # that has no end
                answer.read()
        denied = answer.status_code in {401, 403}
        if answer.status_code not in expected if expected else denied:
            self.wrong.append(f"{what}: {answer.status_code} {answer.text[:200]}")


@pytest.fixture(scope="module")
def people(service: Service) -> People:
    """A client for each role in each organisation; everybody's `sub` is ME."""
    return {(role, org): service.client(role, sub=ME, org=org) for role in ROLES for org in (ORG, OTHER_ORG)}


@pytest.fixture(scope="module")
def things(service: Service) -> Things:
    """For each call that is about a thing with an owner: the id of one of ME and of one of SOMEBODY."""
    boss = service.client()
    for owner in (ME, SOMEBODY):
        grant = boss.post(f"/api/v1/accounts/user:{owner}:tokens/grants", json={"amount": 10**9, "source": "gift"})
        assert grant.status_code == 201
    found = {}
    for number, (name, line) in enumerate(CALLS.items()):
        for owner in (ME, SOMEBODY):
            found[name, owner] = _make(boss, line, owner, f"{owner}-{number}")
    service.project()
    return found


def _make(boss: httpx.Client, line: Line, owner: str, id_: str) -> str:
    if line.about in {"generation", "content"}:
        body = {"id": id_, "user_id": owner, "operation": "chat"}
        assert boss.post("/api/v1/generations", json=body).status_code == 201
    if line.about == "content":
        stored = {"contents": [{"id": id_, "url": "https://x/y", "bytes": 1}]}
        assert boss.post(f"/api/v1/generations/{id_}/confirm", json=stored).status_code == 200
    if line.about == "group":
        assert boss.post("/api/groups", json={"id": id_, "name": id_}).status_code == 201
        members = {"group_id": id_, "user_ids": [owner]}
        assert boss.post("/api/group-members", json=members).status_code == 200
    return id_


def test_every_route_has_a_line_and_every_line_a_route() -> None:
    lines, built = {plain(call): call for call in CALLS | dict.fromkeys(OPEN_CALLS)}, routes()
    assert built - lines.keys() == set(), "routes without a line in the role table"
    assert {lines[call] for call in lines.keys() - built} == set(), "lines of the role table without a route"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_matrix(service: Service, people: People, things: Things, name: str) -> None:
    """S1-2, S2-7, S4-4."""
    matrix = Matrix(service, people, things, name)
    matrix.everybody()
    assert matrix.wrong == []
