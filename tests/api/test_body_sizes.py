"""Whatever the document allows fits into its call's limit on size, which the document names."""

from typing import Any

import pytest

from tests.api.generating import give, new_user, ok
from tests.api.service import Service

URL = "https://bucket.example/" + "s" * 3_977  # a signed URL of 4,000 characters, the most
ID = "x" * 251


def test_500_contents_with_signed_urls_are_confirmed(service: Service) -> None:
    user = new_user(service, tokens=1_000)
    worker = service.client("worker")
    ok(worker.post("/api/v1/generations", json={"id": f"many-{user}", "user_id": user, "operation": "chat"}), 201)
    contents = [{"id": f"{ID[:200]}-{user}-{n}", "url": URL, "bytes": 1} for n in range(500)]
    done = ok(worker.post(f"/api/v1/generations/many-{user}/confirm", json={"contents": contents}))
    assert len(done["contents"]) == 500
    ids = [each["id"] for each in contents]
    ok(worker.post(f"/api/v1/generations/many-{user}/refund", json={"contents": ids, "reason": "all bad"}))


def test_1000_members_of_the_longest_ids(service: Service) -> None:
    boss = service.client()
    ok(boss.post("/api/groups", json={"id": "crowd", "name": "Crowd"}), 201)
    users = [f"{ID}{n:04d}" for n in range(1_000)]
    body = {"group_id": "crowd", "user_ids": users}
    assert len(ok(boss.post("/api/group-members", json=body))["results"]) == 1_000
    assert len(ok(boss.post("/api/group-members/remove", json=body))["results"]) == 1_000


def test_a_prompt_of_20000_characters_of_any_script(service: Service) -> None:
    user = new_user(service, tokens=1_000)
    client = service.client("user", user)
    made = client.post("/api/v1/generations", json={"operation": "chat", "prompt": "\U0001f600" * 20_000})
    assert made.status_code == 201, made.text[:300]


def test_2000_prices(service: Service) -> None:
    admin = service.client("admin")
    rates = {"input_tokens": 3, "output_tokens": 15, "cached_input_tokens": 1}
    entries = [
        {
            "provider": "a-provider",
            "model": f"a-model-of-it-{n}",
            "operation": "chat",
            "credits": 5,
            "rates": rates,
        }
        for n in range(2_000)
    ]
    ok(admin.post("/api/v1/prices/preview", json={"entries": entries}))
    ok(admin.put("/api/v1/prices", json={"entries": entries}))
    # What could not be published to Kafka is refused, not committed.
    wide = [each | {"options": {f"o{n}": "x" * 200 for n in range(3)}} for each in entries[:1_200]]
    refused = admin.put("/api/v1/prices", json={"entries": wide})
    assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (413, "body_too_large", 900_000)


def test_1000_costs_with_prompts_and_signed_urls(service: Service) -> None:
    user = new_user(service)
    entry = {"user_id": user, "cost": "0.01", "success": False, "image_url": URL[:1_500], "prompt": "p" * 1_000}
    entries = [{**entry, "id": f"{user}-{n}"} for n in range(1_000)]
    told = ok(service.client("worker").post("/api/v1/budgets/costs", json={"entries": entries}))
    assert len(told["results"]) == 1_000


def test_a_batch_of_1000_with_signed_urls(service: Service) -> None:
    user = new_user(service)
    give(service, f"user:{user}:credits", 10)
    body = {"amount": 1, "metadata": {"url": URL[:2_000]}}
    path = f"/api/v1/accounts/user:{user}:credits/debits"
    operations = [{"path": path, "body": body}] * 1_000
    told = ok(service.client("worker").post("/api/v1/batch", json={"operations": operations}))
    assert [each["status"] for each in told["results"]].count(201) == 10


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("post", "/api/v1/generations/{id}/confirm", 2_621_440),
        ("post", "/api/v1/batch", 4_194_304),
        ("put", "/api/v1/prices", 1_048_576),
        ("post", "/api/v1/prices/preview", 1_048_576),
        ("put", "/api/v1/features", 524_288),
    ],
)
def test_the_document_and_the_answer_name_the_limit(service: Service, method: str, path: str, limit: int) -> None:
    call: dict[str, Any] = service.client(None).get("/api/openapi.json").json()["paths"][path][method]
    assert f"at most {limit:,} bytes" in call["description"]
    answer = service.client("admin").request(method, path.replace("{id}", "g"), content=b"x" * (limit + 1))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (413, "body_too_large", limit)
