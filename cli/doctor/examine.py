"""An examination: every family of checks, on a service of this machine or on a remote one.

The checks of settings, of the API and of a data folder are here; those of each server have files of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from cli.api_client import Api, Refused
from cli.doctor.codes import CODES, Finding, Severity, look
from cli.doctor.kafka import check_broker
from cli.doctor.ledger import check_ledger
from cli.doctor.postgres import check_database, check_logins
from cli.failure import Failure
from cli.service.settings import ROLE_LOGINS
from cli.service.signs import hung
from infra.disk import WARN_BELOW, room_of, watched, watched_text
from infra.embedded.folder import read_running
from infra.kafka.client import KafkaMisconfigured, kafka_arguments
from infra.payments import UnsafePayments, provider_of
from infra.settings import Settings

MIN_SECRET_BYTES = 32
JWKS_S = 5.0
LITTLE_PERCENT = 5
HEALTH_S = 5.0

Family = tuple[str, Callable[[], Iterator[Finding]]]

_NAMED = re.compile(r"\(runbook: ([a-z-]+)\)")


def families(settings: Settings, data: Path | None, url: str = "") -> list[Family]:
    """What is examined, in order: a name for people, and the checks. `data`: of an embedded service."""
    found: list[Family] = [
        ("settings", lambda: check_settings(settings)),
        ("PostgreSQL", lambda: chain(check_database(settings), check_logins(settings))),
        ("Kafka", lambda: check_broker(settings)),
        ("API", lambda: check_api(settings, url)),
        ("ledger", lambda: check_ledger(settings)),
    ]
    if data is not None:
        found.append(("machine", lambda: check_folder(data)))
    return found


def examine_remote(api: Api) -> Iterator[Finding]:
    """What a remote service reports: the figures of `GET /api/v1/operations` that are not as they should be.

    Raises Failure where the service answers, but not to this token: that says nothing about the service.
    """
    try:
        told: dict[str, Any] = api.get("/api/v1/operations")
    except Failure as failure:
        if isinstance(failure, Refused) and failure.status in (401, 403):
            raise Failure(
                f"{api.url} answers, but not to this token, which must be an admin's or auditor's: {failure}"
            ) from failure
        yield Finding("api-down", str(failure))
        return
    for figure in told.values():
        if isinstance(figure, dict) and figure.get("status") != "ok":
            code = figure["runbook"] if figure["runbook"] in CODES else "api-down"
            severity = Severity.WRONG if figure["status"] == "act" else Severity.LOOK
            yield Finding(code, figure["message"], severity)


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Findings about the settings alone, and whether the identity provider's keys can be had."""
    yield from _keys(settings)
    for login in ROLE_LOGINS:
        if not getattr(settings, f"{login}_url").get_secret_value():
            yield Finding("setting-wrong", f"SCRIP_{login.upper()}_URL is not set.")
    try:
        kafka_arguments(settings)
    except KafkaMisconfigured as error:
        yield Finding("kafka-misconfigured", f"{error}.")
    try:
        provider_of(settings)
    except UnsafePayments as error:
        yield Finding("payments-misconfigured", str(error))
    if settings.development_login and not _loopback(settings.host):
        yield Finding("development-login", f"SCRIP_DEVELOPMENT_LOGIN is on, and the API listens on {settings.host}.")
    if settings.jwks_url:
        yield from _key_set(settings.jwks_url)


def _keys(settings: Settings) -> Iterator[Finding]:
    fingerprint, jwt = settings.fingerprint_secret.get_secret_value(), settings.jwt_secret.get_secret_value()
    if len(fingerprint.encode()) < MIN_SECRET_BYTES:
        yield Finding("keys-missing", f"SCRIP_FINGERPRINT_SECRET has fewer than {MIN_SECRET_BYTES} bytes.")
    if jwt and len(jwt.encode()) < MIN_SECRET_BYTES:
        yield Finding("keys-missing", f"SCRIP_JWT_SECRET has fewer than {MIN_SECRET_BYTES} bytes.")
    if not jwt and not settings.jwks_url:
        yield Finding("keys-missing", "Neither SCRIP_JWT_SECRET nor SCRIP_JWKS_URL is set.")
    if jwt and settings.jwks_url:
        yield look("keys-missing", "SCRIP_JWT_SECRET is set beside SCRIP_JWKS_URL: who knows it is anybody.")


def _key_set(url: str) -> Iterator[Finding]:
    try:
        keys = httpx.get(url, timeout=JWKS_S).raise_for_status().json()["keys"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        yield Finding("unauthenticated", f"No keys at SCRIP_JWKS_URL: {type(error).__name__}.")
        return
    if not keys:
        yield Finding("unauthenticated", "The key set at SCRIP_JWKS_URL is empty.")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
