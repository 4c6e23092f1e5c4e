"""What a platform's calls cost its users: the whole service at 300 requests a second, beside an empty FastAPI handler.

The service runs as `scrip up` runs it, with a history; all is within limits, so
that every call must succeed.
"""

import random
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec
import uvloop

from benchmarks.figures import Figure, Report, percentile
from benchmarks.http import BODY, empty_api
from benchmarks.http_load import Ask, Timed, open_load, request
from benchmarks.stage import whole_service
from cli.service.service import ROLES, Service
from cli.service.tokens import signed_token
from infra.ids import record_id
from infra.settings import Settings

RATE = 300
SECONDS = 30
WARM_UP_S = 5
EMPTY_S = 10
ORGS = {"bench0": "pro", "bench1": "enterprise", "bench2": "pro", "bench3": "enterprise"}  # with their plans
USERS = 200
TEAM = 10  # members of a group; everybody is also in the group of the whole organisation
HISTORY = 20  # generations of each user that are over
IN_BATCH = 200
PLENTY = 10**10
STORAGE = 10**11
SEEN_WITHIN_S = 120
SEED = 4
GENERATIONS = "/api/v1/generations"

# What users generate: in tokens, credits, money, or the organisation's plan tokens.
REQUESTS: tuple[dict[str, Any], ...] = (
    {"operation": "image", "options": {"size": "1024x1024", "quality": "hd"}},
    {"operation": "image", "provider": "BFL", "model": "FLUX.1 [pro]"},
    {"operation": "image", "options": {"complexity": "complex", "count": 2}, "feature": "generate_leads"},
    {
        "operation": "video",
        "provider": "MiniMax",
        "model": "MiniMax-Hailuo-02",
        "options": {"resolution": "768P", "duration": 6},
    },
    {"operation": "chat"},
)


class User(NamedTuple):
    """A user with a token of their own, and that of a worker of the organisation."""

    org: str
    id: str
    token: str
    worker: str


class Kind(NamedTuple):
    """A class of calls: its share of the traffic in percent, and its bar: the p99 in milliseconds."""

    share: int
    under_ms: int
    ask: "Callable[[Traffic, User], Ask]"


class Traffic:
    """Draws what comes next; generations that it creates are confirmed by and by."""

    def __init__(self, users: list[User], chance: random.Random) -> None:
        self._users = users
        self._chance = chance
        self._next: list[str] = []
        self.held: deque[tuple[User, str]] = deque()

    def draw(self) -> Ask:
        """The next call: in every 100 each class has exactly its share."""
        if not self._next:
            self._next = [name for name, kind in MIX.items() for _ in range(kind.share)]
            self._chance.shuffle(self._next)
        return MIX[self._next.pop()].ask(self, self._chance.choice(self._users))

    def wanted(self) -> dict[str, Any]:
        return self._chance.choice(REQUESTS)


def _check(traffic: Traffic, user: User) -> Ask:
    body = msgspec.json.encode(traffic.wanted())
    return Ask("check", request("POST", f"{GENERATIONS}/check", user.token, body))


def _create(traffic: Traffic, user: User) -> Ask:
    def held(answer: bytes) -> None:
        traffic.held.append((user, msgspec.json.decode(answer)["generation_id"]))

    body = msgspec.json.encode({**traffic.wanted(), "user_id": user.id, "prompt": "a lighthouse in the fog"})
    return Ask("create", request("POST", GENERATIONS, user.worker, body, record_id()), held)


def _confirm(traffic: Traffic, _user: User) -> Ask:
    user, id_ = traffic.held.popleft()
    body = msgspec.json.encode(_made(id_))
    return Ask("confirm", request("POST", f"{GENERATIONS}/{id_}/confirm", user.worker, body, record_id()))


def _deduct(_traffic: Traffic, user: User) -> Ask:
    body = msgspec.json.encode({"action": "deduct", "feature": "generate_leads", "user_id": user.id})
    return Ask("deduct", request("POST", "/api/v1/tokens/check-balance", user.worker, body, record_id()))


def _read(name: str, path: str) -> Callable[[Traffic, User], Ask]:
    return lambda _traffic, user: Ask(name, request("GET", path.format(user=user.id), user.token))


MIX = {
    "check": Kind(40, 10, _check),
    "create": Kind(12, 200, _create),
    "confirm": Kind(12, 200, _confirm),
    "deduct": Kind(8, 50, _deduct),
    "stats": Kind(5, 30, _read("stats", "/api/v1/tokens/stats")),
    "balance": Kind(8, 200, _read("balance", "/api/v1/accounts/user:{user}:credits/balance")),
    "budget": Kind(4, 200, _read("budget", "/api/v1/budgets/me")),
    "groups": Kind(3, 200, _read("groups", "/api/groups")),
    "me": Kind(4, 200, _read("me", "/api/auth/me")),
    "history": Kind(4, 200, _read("history", GENERATIONS)),
}


def run(report: Report, *, seconds: int = SECONDS) -> list[Figure]:
    """All roles run; after a warm-up one open loop of the mix, then one of the same rate on the empty handler."""
    with whole_service(*ROLES) as service, empty_api() as empty_port:
        users = _users(service.settings)
        traffic = Traffic(users, random.Random(SEED))
        report(f"preparing {USERS} users with {USERS * HISTORY:,} generations")
        _prepare(service, users, traffic)
        port = urlsplit(service.url).port or 0
        uvloop.run(open_load(port, traffic.draw, RATE, WARM_UP_S))
        report(f"{RATE} requests/s for {seconds} s")
        ours = uvloop.run(open_load(port, traffic.draw, RATE, seconds))
        report(f"the empty handler for {EMPTY_S} s")
        reserve = Ask("empty", request("POST", "/api/v1/accounts/user:u0:credits/reservations", "", BODY))
        empty = uvloop.run(open_load(empty_port, lambda: reserve, RATE, EMPTY_S))
    for failure in ours.failures[:3]:
        report(failure)
    return _figures(ours, empty)


def _figures(ours: Timed, empty: Timed) -> list[Figure]:
    failed = len(ours.failures) + len(empty.failures)
    nothing = empty.seconds["empty"]
    figures = [
        Figure("api", "requests a second, open loop", RATE, "requests/s"),
        Figure("api", "failures", failed, "requests", "0", failed == 0),
        Figure("api", "sent after their schedule by the client, p99", percentile(ours.late, 0.99) * 1000, "ms"),
        *(Figure("api", f"empty FastAPI handler, p{n}", percentile(nothing, n / 100) * 1000, "ms") for n in (50, 99)),
    ]
    for name, kind in MIX.items():
        p50, p99 = (percentile(ours.seconds[name], share) * 1000 for share in (0.5, 0.99))
        figures.append(Figure("api", f"{name}, p50", p50, "ms"))
        figures.append(Figure("api", f"{name}, p99", p99, "ms", f"under {kind.under_ms}", p99 < kind.under_ms))
    return figures


def _users(settings: Settings) -> list[User]:
    workers = {org: signed_token(settings, org=org, sub="worker", role="worker", ttl_s=3600) for org in ORGS}
    orgs = list(ORGS)
    users = []
    for number in range(USERS):
        org, id_ = orgs[number % len(orgs)], f"u{number}"
        token = signed_token(settings, org=org, sub=id_, role="user", ttl_s=3600)
        users.append(User(org, id_, token, workers[org]))
    return users


def _prepare(service: Service, users: list[User], traffic: Traffic) -> None:
    """Everybody's organisation, groups, budget, storage limit, credits, tokens and history, over HTTP."""
    for org, plan in ORGS.items():
        token = signed_token(service.settings, org=org, sub="bench", role="admin", ttl_s=3600)
        with httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        ) as admin:
            _call(admin, "POST", "/api/v1/organisations", {"id": org, "plan": plan})
            own = [user for user in users if user.org == org]
            operations = [_grant(f"org:{org}:tokens.lead_generation")]
            for start in range(0, len(own), TEAM):
                operations += _group(f"team{start // TEAM}", own[start : start + TEAM])
            operations += _group("everybody", own)
            for user in own:
                _call(admin, "PUT", f"/api/v1/users/{user.id}/storage-limit", {"bytes": STORAGE})
                _call(admin, "PUT", f"/api/v1/users/{user.id}/budget", {"monthly_budget": "1000"})
                operations += [_grant(f"user:{user.id}:{unit}") for unit in ("credits", "tokens")]
                for _ in range(HISTORY):
                    operations += _generation(user, traffic)
                operations.append(_held(user, traffic))
            for start in range(0, len(operations), IN_BATCH):
                _batch(admin, operations[start : start + IN_BATCH])
            _wait_until_seen(admin)


def _grant(address: str) -> tuple[str, dict[str, Any]]:
    return f"/api/v1/accounts/{address}/grants", {"amount": PLENTY, "source": "gift"}


def _group(id_: str, members: list[User]) -> list[tuple[str, dict[str, Any]]]:
    limits = {"image_limit": 10**6, "video_limit": 10**6, "period": "month"}
    return [
        ("/api/groups", {"id": id_, "name": id_.capitalize(), **limits}),
        ("/api/group-members", {"group_id": id_, "user_ids": [user.id for user in members]}),
    ]


def _generation(user: User, traffic: Traffic) -> list[tuple[str, dict[str, Any]]]:
    """One that is created and confirmed."""
    id_ = record_id()
    asked = {**traffic.wanted(), "id": id_, "user_id": user.id}
    return [(GENERATIONS, asked), (f"{GENERATIONS}/{id_}/confirm", _made(id_))]


def _held(user: User, traffic: Traffic) -> tuple[str, dict[str, Any]]:
    """One that the load will confirm, so that it never has to wait for one that it has created itself."""
    id_ = record_id()
    traffic.held.append((user, id_))
    return GENERATIONS, {**traffic.wanted(), "id": id_, "user_id": user.id}


def _made(id_: str) -> dict[str, Any]:
    """What a worker reports of a success."""
    content = {"id": f"{id_}.1", "url": f"https://cdn.example/{id_}", "bytes": 3_000_000}
    return {"content": content, "generation_time_ms": 4_000}


def _batch(admin: httpx.Client, operations: list[tuple[str, dict[str, Any]]]) -> None:
    told = _call(
        admin, "POST", "/api/v1/batch", {"operations": [{"path": path, "body": body} for path, body in operations]}
    )
    for result in told["results"]:
        if result["status"] not in (200, 201):
            raise RuntimeError(f"the benchmark could not be prepared: {result}")


def _wait_until_seen(admin: httpx.Client) -> None:
    """Until the read models hold what was written so far, so that their work on it is not measured."""
    position = _call(admin, "GET", "/api/v1/accounts/user:u0:credits/balance")["position"]
    until = monotonic() + SEEN_WITHIN_S
    while admin.get(GENERATIONS, params={"min_position": position}).status_code != httpx.codes.OK:
        if monotonic() > until:
            raise RuntimeError(f"the read models are not there after {SEEN_WITHIN_S} s")
        sleep(0.1)


def _call(admin: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    answer = admin.request(method, path, json=body)
    if not answer.is_success:
        raise RuntimeError(f"the benchmark could not be prepared: {method} {path}: {answer.text[:300]}")
    return answer.json() if answer.content else None
