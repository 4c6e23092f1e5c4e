"""Contract: `GET /api/v1/audit/proof/{position}`, checked as a stranger would; and a stream's state around an event."""

import base64
import hashlib
from typing import Any

import pytest

from api.log import reads as log_reads
from infra.partitions import partition_of
from tests.api.service import Service, address
from tests.conftest import PARTITIONS


def check_by_hand(proof: dict[str, Any]) -> list[str]:
    """All that a stranger needs. Which links were recomputed; the others must only hang together."""
    links, recomputed = [proof, *proof["chain"]], []
    for before, link in zip([None, *links], links, strict=False):
        assert before is None or link["previous_hash"] == before["hash"]
        if link["own"]:
            said = bytes.fromhex(link["previous_hash"]) + link["head"].encode() + base64.b64decode(link["bytes"])
            assert hashlib.sha256(said).hexdigest() == link["hash"]
            recomputed.append(link["position"])
    return recomputed


def grant(service: Service, account: str, org: str = "acme") -> str:
    path = f"/api/v1/accounts/{account}/grants"
    answer = service.client(org=org).post(path, json={"amount": 5, "source": "gift", "reason": "secret"})
    return str(answer.json()["position"])


def test_a_stranger_recomputes_the_chain_from_an_event_to_the_head(service: Service) -> None:
    account = address()
    positions = [grant(service, account) for _ in range(5)]
    auditor = service.client("auditor")
    proof = auditor.get(f"/api/v1/audit/proof/{positions[0]}", params={"limit": 2}).json()
    assert check_by_hand(proof) == positions[:3]
    rest = auditor.get(
        f"/api/v1/audit/proof/{positions[0]}", params={"limit": 2, "cursor": proof["next_cursor"]}
    ).json()
    assert [link["position"] for link in rest["chain"]] == positions[3:]
    assert rest["chain"][0]["previous_hash"] == proof["chain"][-1]["hash"]
    assert rest["next_cursor"] is None
    assert rest["chain"][-1]["hash"] == rest["partition_head"]["hash"]
    for name, value in (("stream", f"account/{account}"), ("org", "acme"), ("type", "credits-granted.v1")):
        assert proof[name] == value
        assert f":{value}|" in proof["head"]
    assert proof["kafka"]["key"] == f"acme/account/{account}"
    assert len(proof["log"]) == 36
    tampered = {**proof, "bytes": base64.b64encode(b"{}").decode()}
    with pytest.raises(AssertionError):
        check_by_hand(tampered)


def test_the_chain_begins_with_zeros(service: Service) -> None:
    """Position 1 of a partition has no event before it."""
    org = "first"
    position = grant(service, address(), org)
    proof = service.client("auditor", org=org).get(f"/api/v1/audit/proof/{position}").json()
    before = proof["previous_hash"]
    assert (before == "0" * 64) == (position == "0000000000000001")
    check_by_hand(proof)


def test_other_organisations_are_links_without_content(service: Service) -> None:
    names = (f"n{number}" for number in range(999))
    home = partition_of("acme", PARTITIONS)
    neighbour = next(name for name in names if partition_of(name, PARTITIONS) == home)
    mine = grant(service, address())
    theirs = grant(service, address(), neighbour)
    last = grant(service, address())
    auditor = service.client("auditor")
    proof = auditor.get(f"/api/v1/audit/proof/{mine}").json()
    assert check_by_hand(proof) == [mine, last]
    foreign = next(link for link in proof["chain"] if link["position"] == theirs)
    assert set(foreign) == {"position", "previous_hash", "hash", "own"}
    assert neighbour not in str(proof)
    assert auditor.get(f"/api/v1/audit/proof/{theirs}").status_code == 404
    assert auditor.get(f"/api/v1/audit/proof/{'9' * 16}").status_code == 404
    assert auditor.get("/api/v1/audit/proof/7").status_code == 422


def test_the_state_of_a_stream_before_and_after_an_event(service: Service) -> None:
    account, boss = address(), service.client()
    grant(service, account)
    path = f"/api/v1/accounts/{account}/reservations"
    held = boss.post(path, json={"amount": 3, "id": f"h-{account[5:12]}", "reason": "secret"}).json()
    told = service.client("auditor").get(f"/api/v1/events/{held['position']}/state").json()
    assert (told["stream"], told["stream_version"]) == (f"account/{account}", 2)
    assert told["counts"]["before"]["holds"] == 0
    assert told["counts"]["after"]["holds"] == 1
    assert told["before"]["holds"] == {}
    assert told["after"]["holds"][held["reservation_id"]]["amount"] == 3
    assert told["before"]["debited"] == told["after"]["debited"] == 0
    assert "sealed" not in str(told)
    first = service.client("auditor").get(f"/api/v1/events/{held['position'][:-1]}0/state")
    assert first.status_code in {200, 404}
    assert service.client("auditor").get(f"/api/v1/events/{'9' * 16}/state").status_code == 404


def test_a_state_shows_so_many_entries_those_that_changed_first(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reads, "MOST_SHOWN", 3)
    monkeypatch.setattr(log_reads, "CHUNK", 2)
    account, boss = address(), service.client()
    grant(service, account)
    path = f"/api/v1/accounts/{account}/reservations"
    user = account.split(":")[1]
    for number in range(5):
        last = boss.post(path, json={"amount": 1, "id": f"{user}-{number}"}).json()
    told = service.client("auditor").get(f"/api/v1/events/{last['position']}/state").json()
    assert told["counts"]["after"]["holds"] == 5
    assert next(iter(told["after"]["holds"])) == f"{user}-4"
    assert len(told["after"]["holds"]) == len(told["before"]["holds"]) == 3
    monkeypatch.setattr(log_reads, "MOST_FOLDED", 2)
    assert service.client("auditor").get(f"/api/v1/events/{last['position']}/state").json()["code"] == "too_many_events"


def test_events_newest_first_and_by_each_filter(service: Service) -> None:
    accounts = [address() for _ in range(2)]
    positions = [grant(service, account) for account in (*accounts, accounts[0])]
    auditor = service.client("auditor")

    def listed(**params: Any) -> list[str]:
        found, cursor = [], None
        while True:
            page = auditor.get("/api/v1/events", params={**params, **({"cursor": cursor} if cursor else {})}).json()
            found += [event["position"] for event in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None or len(found) >= 50:
                return found

    stream = f"account/{accounts[0]}"
    assert listed(stream=stream) == [positions[0], positions[2]]
    assert listed(stream=stream, order="desc", limit=1) == [positions[2], positions[0]]
    everything = listed(limit=2)
    assert listed(order="desc", limit=2) == everything[::-1]
    assert listed(order="desc", after=positions[0], limit=1) == positions[:0:-1]
    assert listed(type="credits-granted.v1", actor="org_admin:boss", after=positions[0]) == positions[1:]
    assert listed(type="nothing.v1", order="desc") == []
    assert listed(actor="org_admin:nobody") == []
    times = {position: auditor.get(f"/api/v1/events/{position}").json()["time"] for position in positions}
    assert listed(**{"from": times[positions[1]], "order": "desc"}) == positions[:0:-1]
    assert listed(to=times[positions[1]], after=positions[0][:-1] + "0")[-1:] == positions[:1]
    assert auditor.get("/api/v1/events", params={"order": "sideways"}).status_code == 422
