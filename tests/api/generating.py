"""What tests of generations share: users with something to spend, limits to meet, and the calls of the main flow."""

import secrets
from typing import Any

import httpx

from domain.budgets.commands import SetBudget
from domain.groups.commands import AddMembers, CreateGroup
from domain.organisations.commands import ConfigureOrganisation
from infra.writer.submission import Outcome, Submission
from tests.api.service import ORG, Service

MB = 1_048_576
PATH = "/api/v1/generations"
FILM = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "1080P", "duration": 6}}  # 1100
PICTURE = {"operation": "image", "model": "FLUX.1 [dev]"}  # 90 credits
SIZED = {"operation": "image", "options": {"size": "1024x1024", "quality": "standard"}}  # 0.04 USD and 100 tokens


def new_user(service: Service, **amounts: int) -> str:
    """A user with these amounts, by unit."""
    user = f"u{secrets.token_hex(5)}"
    for unit, amount in amounts.items():
        give(service, f"user:{user}:{unit}", amount)
    return user


def give(service: Service, address: str, amount: int) -> str:
    answer = service.client().post(f"/api/v1/accounts/{address}/grants", json={"amount": amount, "source": "gift"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["grant_id"])


def tell(service: Service, command: Any, org: str = ORG) -> Outcome:
    """Run a command that has no route here."""
    submission = Submission(org=org, command=command, actor="test", caller="test")
    outcome = service.writer.submit([submission]).result(20)[0]
    assert isinstance(outcome, Outcome)
    assert outcome.refusal is None, outcome.refusal
    return outcome


def in_group(service: Service, user: str, **limits: int) -> str:
    """A new group with these limits, with the user in it."""
    group = f"g{secrets.token_hex(4)}"
    tell(service, CreateGroup(group_id=group, name=group, limits=limits))
    tell(service, AddMembers(group_id=group, users=(user,)))
    return group


def budget_of(service: Service, user: str, micros: int) -> None:
    tell(service, SetBudget(user=user, monthly=micros, by_user=False))


def configure(service: Service, org: str = ORG, **settings: Any) -> None:
    tell(service, ConfigureOrganisation(**settings), org)


def store(service: Service, user: str, size: int) -> str:
    """Have the user keep a content of this size; returns its id."""
    worker, content = service.client("worker", "w"), f"c{secrets.token_hex(5)}"
    body = {"user_id": user, "operation": "upload", "bytes": size}
    made = ok(worker.post(PATH, json=body), 201)["generation_id"]
    ok(worker.post(f"{PATH}/{made}/confirm", json={"content": {"id": content, "bytes": size}}))
    return content


def limit_storage(service: Service, user: str, size: int | None) -> None:
    ok(service.client().put(f"/api/v1/users/{user}/storage-limit", json={"bytes": size}))


def ok(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The body of an answer with this status."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def balance(service: Service, user: str, unit: str = "credits") -> tuple[int, int, int]:
    """What is available, reserved and charged after refunds."""
    now = service.client().get(f"/api/v1/accounts/user:{user}:{unit}/balance").json()
    return now["available"], now["reserved"], now["debited"] - now["refunded"]
