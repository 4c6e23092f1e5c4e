"""What one organisation's people see does not change with what another organisation does, in whatever answer.

A partition's head is the exception: hashes chain over all organisations of a partition, so that a proof must name it
and the links in between, and an answer names the position that it is current at (docs/how-to/auditor.md).
"""

import json
from collections.abc import Container, Iterator
from typing import Any

import psycopg
import pytest

from api.app import ENDPOINTS
from infra.partitions import partition_of
from tests.api.service import Service, running
from tests.conftest import PARTITIONS, Database
from tests.waiting import patient

OWN = "acme"
ROLES = ("user", "org_admin", "auditor")  # a worker reads nothing that an org_admin does not
HOLDER = "user:u_1:credits"
# A stream does not end, metrics are for this machine, and documents are the same for all.
LEFT_OUT = {"follow_events", "metrics", "openapi", "asyncapi", "docs", "docs_file"}
# (operation, path in the answer) -> the head of the partition and the links up to it.
OF_PROOFS = {("prove_event", name) for name in ("partition_head", "chain", "next_cursor")} | {
    ("verify_audit", "positions")
}
# When the service was verified last, whoever asked for it.
OF_THE_SERVICE = {("read_operations", "last_verify")}


def neighbour() -> str:
    """An organisation in the same partition."""
    mine = partition_of(OWN, PARTITIONS)
    return next(name for name in (f"globex{n}" for n in range(1_000)) if partition_of(name, PARTITIONS) == mine)


async def verify(_by: str, progress: Any) -> dict[str, Any]:
    """A report with everybody's figures, as the real one."""
    with psycopg.connect(DATABASE[0].auditor_uri) as connection:
        rows = connection.execute("select partition, max(position) from events group by partition").fetchall()
    total = sum(position for _, position in rows)
    progress("chain", total, total)
    section = {"name": "chain", "ok": True, "checked": {"events": total}, "seconds": total / 1_000}
    return {"ok": True, "log": "l", "positions": {str(p): n for p, n in rows}, "sections": [section]}


DATABASE: list[Database] = []


@pytest.fixture(scope="module")
def service(module_database: Database) -> Iterator[Service]:
    DATABASE[:] = [module_database]
    with running(module_database, verify=verify) as made:
        act(made, OWN)
        yield made


def act(service: Service, org: str) -> None:
    """A day's work of an organisation: events of every kind that is easily made, failures and an audit."""
    boss = service.client(org=org)
    account = f"/api/v1/accounts/{HOLDER}"
    assert boss.post(f"{account}/grants", json={"amount": 1_000, "source": "gift"}).status_code == 201
    assert boss.post(f"{account}/reservations", json={"amount": 5, "ttl_seconds": 3_600}).status_code == 201
    assert boss.post(f"{account}/debits", json={"amount": 7}).status_code == 201
    assert boss.post(f"{account}/debits", json={"amount": 10**9}).status_code == 402
    assert boss.post("/api/groups", json={"name": "painters", "image_limit": 3}).status_code in {201, 409}
    assert boss.post("/api/v1/webhooks", json={"url": f"https://{org}.example/hook"}).status_code == 201
    assert boss.post("/api/v1/api-keys", json={"name": "k"}).status_code == 201
    service.project()
    with psycopg.connect(service.database.owner_uri, autocommit=True) as owner:
        owner.execute(
            "insert into quarantine (id, org, source, event_id, reason, detail, body)"
            " values (gen_random_uuid(), %s, 's', 'e', 'unpriced', 'd', 'sealed')",
            (org,),
        )
        owner.execute(
            "insert into audits (by, started_at, holds, report) values (%s, now(), true, '{}')", (f"auditor:{org}",)
        )
        owner.execute("update webhooks set failing_since = now() where org = %s", (org,))


def answers(service: Service, role: str, position: str, operations: Container[str] | None = None) -> dict[str, Any]:
    """What every read says to a role, by operation; all of them for none."""
    client = service.client(role, "u_1", OWN)
    found = {}
    for one in ENDPOINTS:
        if one.method != "GET" or one.name in LEFT_OUT or role not in (one.may.roles or {role}):
            continue
        if operations is not None and one.name not in operations:
            continue
        names = {"address": HOLDER, "position": position, "version": "1", "file": "x"}
        path = one.path_format.format(**{name: names.get(name, "u_1") for name in one.convertors})
        answer = client.get(path, timeout=patient(60))
        assert answer.status_code in {200, 404, 503, 422, 403}, (one.name, answer.text)
        found[one.name] = answer.json() if "json" in answer.headers["content-type"] else answer.text
    return found


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every scalar of a JSON value by its place."""
    if isinstance(value, dict):
        return {place: each for name, inner in value.items() for place, each in leaves(inner, f"{path}.{name}").items()}
    if isinstance(value, list):
        counted = {f"{path}.length": len(value)}
        return counted | {
            place: each for at, inner in enumerate(value) for place, each in leaves(inner, f"{path}[{at}]").items()
        }
    return {path: value}


def changed(before: Any, after: Any) -> set[str]:
    old, new = leaves(before), leaves(after)
    return {place for place in old.keys() | new.keys() if old.get(place, ...) != new.get(place, ...)}


@pytest.mark.parametrize("role", ROLES)
def test_nothing_changes_with_what_another_organisation_does(service: Service, role: str) -> None:
    events = service.client("auditor", org=OWN).get("/api/v1/events").json()["items"]
    position = events[-1]["position"]
    before = answers(service, role, position)
    assert len(before) > 10
    act(service, neighbour())
    after = answers(service, role, position)
    differing = {name: changed(before[name], after[name]) for name in before if changed(before[name], after[name])}
    again = answers(service, role, position, differing)
    for operation, places in differing.items():
        told = {
            place
            for place in places - changed(after[operation], again[operation])  # what time alone changes
            if not place.endswith(("as_of", "seconds", ".oldest_hold.message", ".position"))
            and (operation, place.split(".")[1].split("[")[0] if "." in place else "") not in OF_PROOFS | OF_THE_SERVICE
        }
        assert not told, (operation, told)
    assert neighbour() not in json.dumps(after)


def test_an_auditor_sees_how_the_platform_stands_but_none_of_its_figures(service: Service) -> None:
    told = service.client("auditor", org=OWN).get("/api/v1/operations").json()
    for name in ("read_models", "topic", "notifier", "usage", "consumers", "last_rebuild", "log"):
        assert told[name].keys() == {"runbook", "status", "message"}, name
        assert not any(letter.isdigit() for letter in told[name]["message"]), name
    assert "items" in told["webhooks"]
    whole = service.client("admin", org=OWN).get("/api/v1/operations").json()
    assert whole["log"]["events"] > 0


def test_a_report_has_ones_own_events_and_the_head_of_ones_partition(service: Service) -> None:
    report = service.client("auditor", org=OWN).get("/api/v1/audit/verify").json()
    assert report["positions"].keys() == {str(partition_of(OWN, PARTITIONS))}
    with psycopg.connect(service.database.owner_uri) as owner:
        row = owner.execute("select count(*) from events where org = %s", (OWN,)).fetchone()
    assert (report["events"],) == row
    assert [section.keys() for section in report["sections"]] == [{"name", "ok", "checked"}]
    assert service.client("admin").get("/api/v1/audit/verify").json()["sections"][0]["checked"]["events"] > 0


def test_ids_of_requests_do_not_count_them(service: Service) -> None:
    """Two requests of one caller must not tell how many others there were in between."""
    client = service.client(None)
    made = [int(client.get("/livez").headers["request-id"].rpartition("-")[2], 16) for _ in range(3)]
    assert max(made) - min(made) > 1_000
