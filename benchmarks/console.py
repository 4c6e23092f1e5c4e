"""The server's time for every page of the console, at 100,000 transactions of one organisation."""

import re
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import NamedTuple
from urllib.parse import quote

import httpx

from benchmarks.figures import Figure, Report, percentile
from benchmarks.load import Load, SettledWork
from benchmarks.stage import signed_in, wait_until_projected, whole_service
from cli.service.service import ROLES, Service
from cli.service.tokens import signed_token
from console.catalogue import ALL_PAGES
from console.pages import Page
from domain.registry import SCRIP
from infra.writer.writer import Writer

TRANSACTIONS = 100_000
USERS = 100
ORG = "bench0"
LOOKS = 30  # at each page
UNDER_MS = 100
# As whom the pages are opened: the user has a hundredth of all transactions.
PEOPLE = {"user": "u0", "org_admin": "boss", "auditor": "reader", "admin": "root"}


class Existing(NamedTuple):
    """Ids of what pages are about; the generation is u0's."""

    generation: str
    webhook: str
    position: str
    group: str = "g0"
    user: str = "u0"
    organisation: str = ORG
    form: str = "csv"
    anchor: str = "read-models-lag"


# Paths of pages up to a parameter -> which of these replaces it.
EXAMPLES = {
    "/generations/{id}": "generation",
    "/admin/groups/{id}": "group",
    "/admin/quotas/groups/{id}": "group",
    "/admin/quotas/users/{id}": "user",
    "/admin/webhooks/{id}": "webhook",
    "/support/users/{id}": "user",
    "/admin/organisations/{id}": "organisation",
    "/admin/prices/export.{form}": "form",
    "/operator/events/{position}": "position",
    "/operator/runbook/{anchor}": "anchor",
}

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


def run(
    report: Report, *, transactions: int = TRANSACTIONS, looks: int = LOOKS, pages: Sequence[Page] | None = None
) -> list[Figure]:
    """Each page is opened again and again by each role that may see it; the slowest role counts."""
    chosen = ALL_PAGES if pages is None else pages
    if missing := without_example(chosen):
        raise RuntimeError(f"name an example in benchmarks/console.py for {', '.join(missing)}")
    with whole_service(*ROLES) as service:
        report(f"{transactions:,} transactions of {USERS} users")
        work = _fill(service, transactions)
        existing = _existing(service, work)
        figures: list[Figure] = []
        failures: list[str] = []
        visitors = {role: signed_in(service.url, ORG, sub, role) for role, sub in PEOPLE.items()}
        for page in chosen:
            if page.method == "GET":
                path = _filled(page.path, existing)
                report(path)
                times, failed = _look(visitors, page, path, looks)
                failures += failed
                figures += _figures(page.path, times)
        for visitor in visitors.values():
            visitor.close()
    for failure in failures:
        report(failure)
    return [Figure("console", "pages that failed", len(failures), "pages", "0", not failures), *figures]


def _figures(path: str, times: dict[str, list[float]]) -> Iterator[Figure]:
    if times:
        slowest = max(times.values(), key=lambda seconds: percentile(seconds, 0.95))
        p50, p95 = (percentile(slowest, share) * 1000 for share in (0.5, 0.95))
        yield Figure("console", f"{path}, p50", p50, "ms")
        yield Figure("console", f"{path}, p95", p95, "ms", f"under {UNDER_MS}", p95 < UNDER_MS)


def _look(
    visitors: dict[str, httpx.Client], page: Page, path: str, looks: int
) -> tuple[dict[str, list[float]], list[str]]:
    """Seconds by role, and what went wrong. A stream, which lasts as long as it is read, has none."""
    times: dict[str, list[float]] = {}
    failed = []
    for role, visitor in visitors.items():
        if role not in page.roles:
            continue
        for _ in range(looks + 1):
            began = perf_counter()
            with visitor.stream("GET", path) as answer:
                if answer.headers["content-type"].startswith("text/event-stream"):
                    break
                answer.read()
            if answer.status_code != httpx.codes.OK:
                failed.append(f"{path} as {role}: {answer.status_code}")
                break
            times.setdefault(role, []).append(perf_counter() - began)
    return {role: seconds[1:] for role, seconds in times.items()}, failed  # the first one compiles the template


def _fill(service: Service, transactions: int) -> SettledWork:
    """Write the history, and wait until the read models have it."""
    work = SettledWork(USERS)
    with Writer(service.settings.writer_url.get_secret_value(), SCRIP) as writer:
        Load(writer, USERS, work=work).run(2 * transactions)
    wait_until_projected(service.settings)
    return work


def without_example(pages: Sequence[Page]) -> list[str]:
    """Paths up to a parameter of which EXAMPLES does not say what to put there."""
    ends = [page.path[: end.end()] for page in pages if page.method == "GET" for end in _PARAMETER.finditer(page.path)]
    return sorted(set(ends) - set(EXAMPLES))


def _filled(path: str, existing: Existing) -> str:
    """The path with something that exists in place of each parameter."""
    return _PARAMETER.sub(lambda found: quote(getattr(existing, EXAMPLES[path[: found.end()]]), safe=""), path)


def _existing(service: Service, work: SettledWork) -> Existing:
    token = signed_token(service.settings, org=ORG, sub="boss", role="org_admin", ttl_s=600)
    with httpx.Client(
        base_url=service.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    ) as client:
        event = client.get("/api/v1/events", params={"limit": 1}).raise_for_status().json()["items"][0]
        hook = client.post("/api/v1/webhooks", json={"url": "https://hooks.example.com/"}).raise_for_status().json()
    return Existing(work.generation_of("u0"), hook["id"], event["position"])
