"""The pages for operators and auditors: figures, the event explorer, proofs, timelines, quarantine, rebuilds."""

import html
import re
from typing import Any

import httpx
import psycopg
import pytest

from console.operator.log import changes, cut, moment
from console.operator.runbook import entries
from tests.api.service import ORG, Service
from tests.console.conftest import Visitor, csrf_of

SCRIPT = "<script>alert('x')</script>"
GRANTS = "/api/v1/accounts/user:u_1:credits/grants"
FILM = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "1080P", "duration": 6}}
POSITIONS = re.compile(r'data-position="(\d+)"')
FIGURES = re.compile(r'aria-labelledby="([a-z_]+)"')


@pytest.fixture(scope="module")
def lived(site: Service) -> Service:
    """Two grants, a hold of its own, a generation, and a usage event in quarantine."""
    boss, worker = site.client("org_admin"), site.client("worker", "gpu")
    for amount in (1000, 200):
        boss.post(GRANTS, json={"amount": amount, "source": "purchase", "reason": SCRIPT}).raise_for_status()
    hold = {"id": "h-1", "amount": 30, "ttl_seconds": 3600, "reason": SCRIPT}
    boss.post("/api/v1/accounts/user:u_1:credits/reservations", json=hold).raise_for_status()
    boss.post("/api/v1/accounts/user:u_1:credits/reservations/h-1/capture", json={"amount": 10}).raise_for_status()
    worker.post("/api/v1/generations", json={**FILM, "id": "film", "user_id": "u_1"}).raise_for_status()
    worker.post("/api/v1/generations/film/confirm", json={}).raise_for_status()
    with psycopg.connect(site.database.owner_uri, autocommit=True) as owner:
        owner.execute(
            "insert into quarantine (id, org, source, event_id, reason, detail, body)"
            " values ('q-1', %s, 'gpu-7', %s, 'insufficient_credits', %s, 'sealed')",
            (ORG, SCRIPT, SCRIPT),
        )
    site.project()
    return site


def read(client: httpx.Client, path: str, status: int = 200) -> str:
    """A page's text; nothing that was typed may stand in it unescaped."""
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert SCRIPT not in answer.text
    return html.unescape(answer.text)


def events(client: httpx.Client, query: str = "") -> list[str]:
    """The positions that the explorer shows."""
    return POSITIONS.findall(read(client, f"/operator/events?{query}"))


def position_of(site: Service, type_: str) -> str:
    """The position of the last event of a type."""
    found = site.client("auditor").get("/api/v1/events", params={"type": type_, "order": "desc", "limit": 1})
    position: str = found.json()["items"][0]["position"]
    return position


@pytest.mark.usefixtures("lived")
class TestPages:
    def test_the_home_shows_what_is_urgent_first_and_leads_to_the_runbook(self, visitor: Visitor) -> None:
        page = read(visitor("auditor"), "/operator")
        order = FIGURES.findall(page)
        assert set(order[:2]) <= {"quarantine", "last_verify"}  # something waits, and nobody has verified
        assert {"read_models", "oldest_hold", "webhooks", "log"} < set(order)
        assert "1 usage event could not be applied." in page
        assert 'href="/operator/runbook/quarantine"' in page
        part = read(visitor("admin", "root"), "/operator/parts/figures")
        assert "<html" not in part
        assert "Nobody has verified yet." in part

    @pytest.mark.parametrize("role", ["auditor", "admin"])
    def test_the_home_leads_nowhere_where_its_reader_may_not_go(self, visitor: Visitor, role: str) -> None:
        client = visitor(role)
        main = read(client, "/operator").partition("<main")[2]
        for path in sorted(set(re.findall(r'href="(/[^"#]+)', main))):
            assert client.get(path).status_code == 200, path

    def test_every_figure_of_the_home_has_its_place_in_the_runbook(self, visitor: Visitor, lived: Service) -> None:
        told = lived.client("admin").get("/api/v1/operations").json()
        named = {each["runbook"] for each in told.values() if isinstance(each, dict)}
        assert named <= set(entries())
        client = visitor("auditor")
        page = read(client, "/operator/runbook")
        assert all(f'href="/operator/runbook/{name}"' in page for name in named)
        entry = read(client, "/operator/runbook/quarantine")
        assert "<strong>Do.</strong>" in entry
        assert "<code>insufficient_credits</code>" in entry
        assert client.get("/operator/runbook/no-such").headers["location"] == "/operator/runbook"

    def test_events_are_found_by_stream_type_actor_and_time(self, visitor: Visitor) -> None:
        client = visitor("auditor")
        everything = events(client)
        assert everything == sorted(everything, reverse=True)
        assert events(client, "order=asc") == everything[::-1]
        assert len(events(client, "type=credits-granted.v1")) == 2
        assert len(events(client, "stream=generation/film")) == 2
        assert set(events(client, "actor=worker:gpu")) < set(everything)
        assert events(client, "to=2000-01-01T00:00") == events(client, "from=2100-01-01T00:00") == []
        assert events(client, "from=nonsense") == everything
        assert "Nothing in the log fits" in read(client, "/operator/events?type=no-such")
        part = read(client, "/operator/parts/events?type=credits-granted.v1")
        assert len(POSITIONS.findall(part)) == 2

    def test_only_the_newest_events_can_be_followed(self, visitor: Visitor) -> None:
        client = visitor("auditor")
        assert 'id="follow"' in read(client, "/operator/events?type=credits-granted.v1")
        assert 'id="follow"' not in read(client, "/operator/events?order=asc")

    def test_an_event_shows_its_bytes_its_hash_and_what_it_changed(self, visitor: Visitor, lived: Service) -> None:
        client = visitor("auditor")
        position = position_of(lived, "generation-completed.v1")
        page = read(client, f"/operator/events/{position}")
        proof = lived.client("auditor").get(f"/api/v1/audit/proof/{position}").json()
        for name in ("previous_hash", "head", "bytes", "hash"):
            assert f'="{proof[name]}"' in page
        assert "<s>held</s>" in page
        assert "<b>completed</b>" in page
        assert 'href="/generations/film"' in page

    def test_an_event_leads_to_its_neighbours_in_the_stream(self, visitor: Visitor) -> None:
        client = visitor("auditor")
        stream = events(client, "stream=account/user:u_1:credits&order=asc")
        assert len(stream) >= 4
        for number, position in enumerate(stream):
            page = read(client, f"/operator/events/{position}")
            earlier = re.findall(r'rel="prev" href="/operator/events/(\d+)"', page)
            later = re.findall(r'rel="next" href="/operator/events/(\d+)"', page)
            assert earlier == stream[:number][-1:]
            assert later == stream[number + 1 :][:1]

    def test_an_unknown_event_is_said_to_be_none(self, visitor: Visitor) -> None:
        assert "There is no event 0000000000999999." in read(
            visitor("auditor"), "/operator/events/0000000000999999", 404
        )
        assert "must be the position" in read(visitor("auditor"), "/operator/events/first", 422)

    def test_a_reservation_is_found_by_its_id_alone(self, visitor: Visitor) -> None:
        page = read(visitor("auditor"), "/operator/timeline?id=h-1")
        moved = re.findall(r"<li>(\w+): <b>(-?\d+)</b>", page)
        assert moved[0] == ("Reserved", "-30")
        assert ("Captured", "-10") in moved
        named = read(visitor("auditor"), "/operator/timeline?id=h-1&account=user:u_1:credits")
        assert re.findall(r"<li>(\w+): <b>(-?\d+)</b>", named) == moved

    def test_a_generation_has_a_timeline_too(self, visitor: Visitor) -> None:
        client = visitor("auditor")
        page = read(client, "/operator/timeline?generation=film")
        assert "generation-completed.v1" in page
        assert 'href="/generations/film"' in page
        assert "Nothing by this id" in read(client, f"/operator/timeline?id={SCRIPT}")
        assert "Which hold?" in read(client, "/operator/timeline")

    def test_the_quarantine_names_reasons_and_admins_retry(self, visitor: Visitor) -> None:
        page = read(visitor("auditor"), "/operator/quarantine")
        assert "Insufficient credits" in page
        assert "Try again" not in page
        root = visitor("admin", "root")
        token = csrf_of(root.get("/operator/quarantine").text)
        assert root.post("/operator/quarantine", data={"id": "q-1"}).status_code == 403
        assert root.post("/operator/quarantine", data={"csrf": token, "id": "q-1"}).status_code == 303
        assert "cannot retry usage events" in read(root, "/operator/quarantine")  # without a broker
        assert "Nothing waits here" in read(visitor("auditor", org="globex"), "/operator/quarantine")

    def test_a_rebuild_is_asked_for_once(self, visitor: Visitor) -> None:
        root = visitor("admin", "root")
        page = read(root, "/operator/rebuild")
        assert "No rebuild yet" in page
        assert 'hx-trigger="every 10s"' in page
        for _ in range(2):
            answer = root.post("/operator/rebuild", data={"csrf": csrf_of(page)})
            assert answer.headers["location"] == "/operator/rebuild"
        again = read(root, "/operator/rebuild")
        assert "A rebuild is running." in again  # the second was refused
        assert "waits for a projector" in again
        assert 'hx-trigger="every 1s"' in read(root, "/operator/parts/rebuild")

    def test_verify_says_who_verified_last(self, visitor: Visitor, lived: Service) -> None:
        assert "Nobody has verified yet." in read(visitor("auditor"), "/operator/verify")
        assert 'id="verify"' in read(visitor("org_admin"), "/operator/verify")
        with psycopg.connect(lived.database.owner_uri, autocommit=True) as owner:
            owner.execute(
                "insert into audits (by, started_at, holds, report) values ('auditor:eve', now(), false, '{}')"
            )
        page = read(visitor("auditor"), "/operator/verify")
        assert "Does not hold" in page
        assert "auditor:eve" not in page, "who verified may be of another organisation"
        assert "by auditor:eve" in read(visitor("admin", "root"), "/operator/verify")

    @pytest.mark.parametrize(
        ("role", "path"),
        [
            *(
                ("user", path)
                for path in ("", "/events", "/timeline", "/verify", "/rebuild", "/quarantine", "/runbook")
            ),
            *(("org_admin", path) for path in ("", "/rebuild", "/quarantine")),
            ("auditor", "/rebuild"),
            ("worker", "/events"),
        ],
    )
    def test_other_roles_are_refused(self, visitor: Visitor, role: str, path: str) -> None:
        assert "Your role may not see this page." in read(visitor(role), f"/operator{path}", 403)


def test_changes_are_named_by_their_way_into_the_state() -> None:
    before: dict[str, Any] = {"a": 1, "same": [1], "map": {"x": 1}, "list": [{"n": 1}], "none": None}
    after: dict[str, Any] = {"a": 2, "same": [1], "map": {}, "list": [{"n": 1}, {"n": 2}], "none": []}
    assert changes(before, after) == [("a", "1", "2"), ("map.x", "1", None), ("list.1.n", None, "2")]
    assert changes(after, after) == []


def test_what_is_cut_is_told_with_its_size() -> None:
    state = {"after": {"few": [1], "many": [1, 2], "gone": None}, "counts": {"after": {"few": 1, "many": 500}}}
    assert cut(state) == [("many", 500)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:30", "2026-03-01T12:30:00Z"),
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("", None),
        (None, None),
        ("yesterday", None),
    ],
)
def test_times_of_filters(text: str | None, expected: str | None) -> None:
    assert moment(text) == expected


def test_the_runbook_is_shown_as_it_is_written() -> None:
    assert "verify-does-not-hold" in entries()
    found = [block for entry in entries().values() for block in entry.blocks]
    assert {block.kind for block in found} <= {"p", "code", "table"}
    text = "".join(str(block.text) for block in found)
    assert "**" not in text
    assert "](" not in text
    assert all(entry.section and entry.blocks for entry in entries().values())
    linked = set(re.findall(r'href="/operator/runbook/([a-z0-9-]+)"', text))
    assert linked - {"start-up"} <= set(entries())  # that is a section: its link leads to the contents
