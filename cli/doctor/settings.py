"""Settings that are missing, unsafe or contradict each other, found without asking any server."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import httpx

from cli.doctor.finding import Finding, look
from infra.kafka_client import KafkaMisconfigured, kafka_arguments
from infra.payments.providers import UnsafePayments, provider_of
from infra.settings import Settings

MIN_SECRET_BYTES = 32
LOGINS = ("writer", "relay", "projector", "reader", "auditor")
JWKS_S = 5.0


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Findings about the settings alone, and whether the identity provider's keys can be had."""
    yield from _keys(settings)
    for login in LOGINS:
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
