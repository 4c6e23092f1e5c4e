"""Generations as they are read: history, the whole of one, and why it was allowed or refused (`explain`)."""

from typing import Any

import pytest

from tests.api.generating import FILM, MB, PATH, PICTURE, give, in_group, new_user, ok
from tests.api.service import Service


@pytest.fixture(scope="module")
def story(service: Service) -> dict[str, Any]:
    """A user with one generation that came to an end, a part of it, one that failed, and one that was refused."""
    user = new_user(service)
    grant = give(service, f"user:{user}:credits", 300)
    group = in_group(service, user, image=2)
    worker, mine = service.client("worker", "w"), service.client("user", user)
    body = {**PICTURE, "prompt": "a cat", "reason": "for fun", "metadata": {"page": "image"}}
    done = ok(mine.post(PATH, json={**body, "id": f"done-{user}"}), 201)["generation_id"]
    content = {"id": f"c-{user}", "url": "https://x.example/1", "bytes": 3 * MB}
    cost = {"amount": "0.05", "currency": "EUR"}
    confirmed = {"content": content, "generation_time_ms": 900, "provider_cost": cost}
    ok(worker.post(f"{PATH}/{done}/start"))
    ok(worker.post(f"{PATH}/{done}/confirm", json=confirmed))
    part = ok(mine.post(PATH, json={**PICTURE, "parent_id": done}), 201)["generation_id"]
    ok(worker.post(f"{PATH}/{part}/fail", json={"outcome": "output_blocked", "error_message": "too odd"}))
    ok(worker.post(f"{PATH}/{done}/refund", json={"amount": 30, "reason": "blurred"}))
    refused = ok(mine.post(PATH, json={**FILM, "id": f"no-{user}"}), 402)["generation_id"]
    last = ok(mine.delete(f"/api/v1/contents/c-{user}"))
    service.project()
    return {"user": user, "grant": grant, "group": group, "done": done, "part": part, "refused": refused, **last}


def listed(service: Service, story: dict[str, Any], **filters: Any) -> list[str]:
    """The ids in the user's history, page by page."""
    client, found, cursor = service.client("worker", "w"), [], None
    while True:
        params = {"user_id": story["user"], "limit": 2, **filters, **({"cursor": cursor} if cursor else {})}
        page = ok(client.get(PATH, params=params))
        found += [row["generation_id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_history(service: Service, story: dict[str, Any]) -> None:
    """S4-5."""
    done, part, refused = story["done"], story["part"], story["refused"]
    assert listed(service, story) == [refused, part, done]
    assert listed(service, story, status="completed") == [done]
    assert listed(service, story, outcome="output_blocked") == [part]
    assert listed(service, story, model=PICTURE["model"]) == [part, done]
    assert listed(service, story, to="2020-01-01T00:00:00Z") == []
    assert listed(service, story, **{"from": "2020-01-01T00:00:00Z"}) == [refused, part, done]
    own = ok(service.client("user", story["user"]).get(PATH, params={"min_position": story["position"]}))
    assert [row["generation_id"] for row in own["items"]] == [refused, part, done]
    assert {row["user_id"] for row in ok(service.client("auditor", "a").get(PATH))["items"]} == {story["user"]}
    assert ok(service.client(org="globex").get(PATH))["items"] == []


def test_history_has_one_row_for_each_with_its_outcome_in_words(service: Service, story: dict[str, Any]) -> None:
    """S4-5: held, charged, returned."""
    rows = ok(service.client("user", story["user"]).get(PATH))["items"]
    assert [row["outcome_text"] for row in rows] == [
        "Refused: not enough credits",
        "Failed: nothing charged",
        "Completed: 90 credits charged, 30 refunded",
    ]
    assert [row["amounts"]["credits"] for row in rows] == [
        {"held": 0, "charged": 0, "returned": 0, "refunded": 0},
        {"held": 90, "charged": 0, "returned": 90, "refunded": 0},
        {"held": 90, "charged": 90, "returned": 0, "refunded": 30},
    ]
    assert rows[0]["amounts"]["usd"]["held"] == "0.00"


def test_what_was_held_includes_extensions(service: Service) -> None:
    user, worker = new_user(service, credits=500), service.client("worker", "w")
    made = ok(worker.post(PATH, json={"user_id": user, **PICTURE}), 201)["generation_id"]
    ok(worker.post(f"{PATH}/{made}/extend", json={"ttl_seconds": 60, "grow": 100}))
    service.project()
    assert ok(worker.get(f"{PATH}/{made}"))["outcome_text"] == "Waiting: 190 credits held, not charged"
    ok(worker.post(f"{PATH}/{made}/confirm", json={"actual": {"credits": 150}}))
    service.project()
    told = ok(worker.get(f"{PATH}/{made}"))
    assert told["amounts"]["credits"] == {"held": 190, "charged": 150, "returned": 40, "refunded": 0}
    assert told["outcome_text"] == "Completed: 150 credits charged, 40 returned"


def test_history_is_searched_by_id_and_model(service: Service, story: dict[str, Any]) -> None:
    done, part, refused = story["done"], story["part"], story["refused"]
    assert listed(service, story, q="done-") == [done]
    assert listed(service, story, q="flux") == [part, done]
    assert listed(service, story, q=FILM["model"]) == [refused]
    assert listed(service, story, q="%") == listed(service, story, q="one-") == []
    assert listed(service, story, q="") == [refused, part, done]


def test_the_whole_of_one(service: Service, story: dict[str, Any]) -> None:
    told = ok(service.client("user", story["user"]).get(f"{PATH}/{story['done']}"))
    assert (told["status"], told["quote"]["credits"], told["charged"]["credits"]) == ("completed", 90, 90)
    assert told["refunded"]["credits"] == 30
    assert (told["prompt"], told["reason"], told["metadata"]) == ("a cat", "for fun", {"page": "image"})
    assert (told["provider_cost"], told["generation_time_ms"]) == ({"amount": "0.05", "currency": "EUR"}, 900)
    assert told["stored"] == []  # deleted
    (part,) = told["children"]
    assert (part["generation_id"], part["parent_id"]) == (story["part"], story["done"])
    assert (part["outcome"], part["error_message"]) == ("output_blocked", "too odd")
    refused = ok(service.client("worker", "w").get(f"{PATH}/{story['refused']}"))
    assert (refused["status"], refused["refusal"]) == ("refused", "insufficient_credits")
    assert ok(service.client().get(PATH + "/none"), 404)["code"] == "not_found"
    assert service.client(org="globex").get(f"{PATH}/{story['done']}").status_code == 404


def test_explain_says_why_it_was_allowed_who_paid_and_what_happened(service: Service, story: dict[str, Any]) -> None:
    """S4-1."""
    user = story["user"]
    told = ok(service.client("user", user).get(f"{PATH}/{story['done']}/explain"))
    assert (told["allowed"], told["status"], told["reason"]) == (True, "completed", "ok")
    assert told["quote"]["price_version"] == 1
    for named in (
        "90 credits of user:",
        "5 MB of the storage",
        f"1 image of the group {story['group']}",
        "FLUX.1 [dev]",
    ):
        assert named in told["decision"]
    account = f"user:{user}:credits"
    slice_ = {"account": account, "grant_id": story["grant"], "source": "gift", "amount": 90}
    assert told["held_from"] == [{"debit_id": None, **slice_}]
    assert told["paid_by"] == [{"debit_id": f"{story['done']}.1", **slice_}]
    steps = [(each["type"].rpartition(".")[0], each["actor"]) for each in told["history"]]
    assert steps == [
        ("generation-held", f"user:{user}"),
        ("generation-started", "worker:w"),
        ("generation-completed", "worker:w"),
        ("content-stored", "worker:w"),
        ("generation-refunded", "worker:w"),
        ("credits-refunded", "worker:w"),
        ("content-deleted", f"user:{user}"),
    ]
    texts = [each["text"] for each in told["history"]]
    assert texts[2] == "Completed. Charged: 90 credits and 1 image."
    assert texts[-1] == f"The content c-{user} was deleted: 3 MB are free again."
    assert told["position"] == story["position"]


def test_explain_says_why_it_was_refused(service: Service, story: dict[str, Any]) -> None:
    told = ok(service.client("auditor", "a").get(f"{PATH}/{story['refused']}/explain"))
    assert (told["allowed"], told["status"], told["reason"]) == (False, "refused", "insufficient_credits")
    assert told["decision"].startswith("Refused. Insufficient credits. You need 1100 credits but only have 240.")
    credits_ = next(check for check in told["checks"] if check["resource"] == "credits")
    assert (credits_["needed"], credits_["available"], credits_["deficit"]) == (1_100, 240, 860)
    assert (told["holds"], told["paid_by"]) == ([], [])
    assert ok(service.client().get(PATH + "/none/explain"), 404)["code"] == "not_found"


def test_explain_of_a_failure_and_of_a_refused_id_that_was_tried_again(service: Service, story: dict[str, Any]) -> None:
    failed = ok(service.client("worker", "w").get(f"{PATH}/{story['part']}/explain"))
    assert failed["history"][-1]["text"].startswith("Failed (output blocked). Charged: nothing. Returned: ")
    user = new_user(service)
    mine = service.client("user", user)
    body = {**PICTURE, "id": f"again-{user}"}
    ok(mine.post(PATH, json=body), 402)
    give(service, f"user:{user}:credits", 90)
    ok(mine.post(PATH, json=body), 201)
    ok(mine.post(f"{PATH}/again-{user}/cancel"))
    told = ok(mine.get(f"{PATH}/again-{user}/explain"))
    assert (told["allowed"], told["status"], len(told["history"])) == (True, "cancelled", 3)
    assert told["history"][0]["text"].startswith("Refused. Insufficient credits.")
