"""The machine: room on the disk, and the processes of an embedded service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx

from cli.doctor.codes import CODES
from cli.doctor.finding import Finding, look
from cli.service.hangs import hung
from infra.disk import WARN_BELOW, room_of, watched, watched_text
from infra.embedded.folder import read_running
from infra.settings import Settings

LITTLE_PERCENT = 5
HEALTH_S = 5.0
_NAMED = re.compile(r"\(runbook: ([a-z-]+)\)")


def check_folder(data: Path) -> Iterator[Finding]:
    """Findings about a data folder and the processes that it names."""
    yield from _disks(data)
    running = read_running(data)
    for name, process in (running.processes if running is not None else {}).items():
        if process.find() is None:
            yield Finding("role-down", f"The process {name} has ended.")
    for name, times, last in hung(data) if running is not None else ():
        at = f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M} UTC"
        yield look("role-hung", f"{name} hung and was started again, {times:,} times, last at {at}.")


def _disks(data: Path) -> Iterator[Finding]:
    """Findings about the disks of PostgreSQL, Kafka and the folder itself, each disk once."""
    found = (room_of(folder, name) for name, folder in watched(watched_text(data)).items())
    rooms = {room.device: room for room in reversed([room for room in found if room is not None])}
    for room in rooms.values():
        if room.free < WARN_BELOW:
            yield Finding("disk-full", f"{room.sentence} ({room.folder}).")
        elif room.free * 100 < room.size * LITTLE_PERCENT:
            yield look("disk-full", f"{room.sentence} ({room.folder}), less than {LITTLE_PERCENT} %.")


def check_api(settings: Settings, url: str = "") -> Iterator[Finding]:
    """Whether the API answers at `url`, by default where the settings say that it listens."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104 - not bound here
    where = url or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    try:
        answer = httpx.get(f"{where}/health", timeout=HEALTH_S)
        told = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        yield Finding("api-down", f"{where}/health: {type(error).__name__}.")
        return
    if told.get("status") == "unhealthy":
        yield from _issues([str(issue) for issue in told.get("issues", ())])
    yield from _unpriced(where, settings.metrics_token.get_secret_value())


def _issues(issues: list[str]) -> Iterator[Finding]:
    """One finding for each heading of the runbook that the issues name; the rest in one."""
    by_code: dict[str, list[str]] = {}
    for issue in issues:
        named = _NAMED.search(issue)
        code = named[1] if named is not None and named[1] in CODES else "api-down"
        by_code.setdefault(code, []).append(issue)
    for code, said in by_code.items():
        yield Finding(code, f"The API says that it is unhealthy: {' '.join(said)}")


def _unpriced(where: str, token: str) -> Iterator[Finding]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        text = httpx.get(f"{where}/metrics", headers=headers, timeout=HEALTH_S).text
    except httpx.HTTPError:
        return
    lines = [line for line in text.splitlines() if line.startswith("scrip_refusals_total{")]
    counts = {line.rpartition(" ")[0]: int(line.rpartition(" ")[2].partition(".")[0]) for line in lines}
    unpriced = sum(count for name, count in counts.items() if 'code="unpriced"' in name)
    if unpriced:
        share = unpriced * 100 // max(1, sum(counts.values()))
        yield look("unpriced", f"{unpriced:,} requests named a model without a price: {share} % of all refusals.")
