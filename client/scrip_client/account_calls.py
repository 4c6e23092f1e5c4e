"""The calls about accounts and about the caller. An account's address is `owner_type:owner_id:unit`."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote as percent_encoded

from scrip_client.account_answers import (
    Balance,
    Captured,
    Debited,
    DebitRefunded,
    Grant,
    Granted,
    Me,
    Released,
    Reservation,
    ReservationExtended,
    Reserved,
    SessionToken,
    Transaction,
    Transferred,
    Voided,
)
from scrip_client.decoding import decode
from scrip_client.listing import Listing, filters
from scrip_client.steps import Call, Request, new_key


def path_of(address: str, *more: str) -> str:
    """An account's path, or that of something in it."""
    return "/".join(["/api/v1/accounts", *(percent_encoded(part, safe=":") for part in (address, *more))])


def balance(address: str) -> Call[Balance]:
    """What an account has, as of now."""
    return Call(Request("GET", path_of(address, "balance")), partial(decode, Balance))


def grant(
    address: str,
    amount: int,
    *,
    source: str,
    priority: int | None = None,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
    reason: str | None = None,
    external_ref: str | None = None,
    paid: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[Granted]:
    """Give credits (org_admin). `source`: purchase, plan, promotion, trial, gift, adjustment."""
    times = {
        "effective_at": effective_at.isoformat() if effective_at else None,
        "expires_at": expires_at.isoformat() if expires_at else None,
    }
    body: dict[str, Any] = {"amount": amount, "source": source, "priority": priority, **times}
    body |= {"external_ref": external_ref, "reason": reason, "paid": paid, "metadata": metadata}
    return Call(_post(path_of(address, "grants"), body, idempotency_key), partial(decode, Granted))


def void(address: str, grant_id: str, *, reason: str | None = None, idempotency_key: str | None = None) -> Call[Voided]:
    """Take back what is left of a grant (org_admin)."""
    path = path_of(address, "grants", grant_id, "void")
    return Call(_post(path, {"reason": reason}, idempotency_key), partial(decode, Voided))


def reserve(
    address: str,
    amount: int,
    *,
    id: str | None = None,  # noqa: A002 - the contract's name
    ttl_seconds: int = 900,
    reason: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[Reserved]:
    """Hold credits. Raises InsufficientResources."""
    body: dict[str, Any] = {"amount": amount, "id": id, "ttl_seconds": ttl_seconds}
    body |= {"reason": reason, "metadata": metadata}
    return Call(_post(path_of(address, "reservations"), body, idempotency_key), partial(decode, Reserved))


def capture(
    address: str,
    reservation_id: str,
    *,
    amount: int | None = None,
    final: bool = True,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Captured]:
    """Charge a hold: `amount`, or all that is left; with `final` the rest goes back."""
    path = path_of(address, "reservations", reservation_id, "capture")
    body = {"amount": amount, "final": final, "reason": reason}
    return Call(_post(path, body, idempotency_key), partial(decode, Captured))


def release(
    address: str, reservation_id: str, *, reason: str | None = None, idempotency_key: str | None = None
) -> Call[Released]:
    """Give a hold back."""
    path = path_of(address, "reservations", reservation_id, "release")
    return Call(_post(path, {"reason": reason}, idempotency_key), partial(decode, Released))


def extend_reservation(
    address: str, reservation_id: str, *, ttl_seconds: int, grow: int = 0, idempotency_key: str | None = None
) -> Call[ReservationExtended]:
    """Keep a hold for `ttl_seconds` from now, and hold `grow` more."""
    path = path_of(address, "reservations", reservation_id, "extend")
    body = {"ttl_seconds": ttl_seconds, "grow": grow}
    return Call(_post(path, body, idempotency_key), partial(decode, ReservationExtended))


def debit(
    address: str,
    amount: int,
    *,
    reason: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[Debited]:
    """Charge at once, without a hold. Raises InsufficientResources."""
    body: dict[str, Any] = {"amount": amount, "reason": reason, "metadata": metadata}
    return Call(_post(path_of(address, "debits"), body, idempotency_key), partial(decode, Debited))


def refund(
    address: str,
    debit_id: str,
    *,
    amount: int | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Call[DebitRefunded]:
    """Give a debit back (org_admin): `amount`, or all that is left of it."""
    path = path_of(address, "debits", debit_id, "refunds")
    return Call(_post(path, {"amount": amount, "reason": reason}, idempotency_key), partial(decode, DebitRefunded))


def transfer(
    address: str, to: str, amount: int, *, reason: str | None = None, idempotency_key: str | None = None
) -> Call[Transferred]:
    """Move credits to another account of the organisation (org_admin)."""
    body = {"to": to, "amount": amount, "reason": reason}
    return Call(_post(path_of(address, "transfers"), body, idempotency_key), partial(decode, Transferred))


def me() -> Call[Me]:
    """The caller and what they have."""
    return Call(Request("GET", "/api/auth/me"), partial(decode, Me))


def session_token(user: str, *, ttl_seconds: int = 900) -> Call[SessionToken]:
    """A token of role `user` for a browser, at most an hour long."""
    body = {"user_id": user, "ttl_seconds": ttl_seconds}
    return Call(Request("POST", "/api/v1/session-tokens", body), partial(decode, SessionToken))


def grants(address: str, *, min_position: str | None = None) -> Listing[Grant]:
    """An account's grants."""
    return Listing(path_of(address, "grants"), filters(min_position=min_position), partial(decode, Grant))


def reservations(address: str, *, status: str | None = None, min_position: str | None = None) -> Listing[Reservation]:
    """An account's holds."""
    wanted = filters(status=status, min_position=min_position)
    return Listing(path_of(address, "reservations"), wanted, partial(decode, Reservation))


def transactions(address: str, *, min_position: str | None = None) -> Listing[Transaction]:
    """An account's movements, newest first."""
    return Listing(path_of(address, "transactions"), filters(min_position=min_position), partial(decode, Transaction))


def request(
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    params: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[Any]:
    """Any call of the API, its answer as JSON; with the same retries and errors. A POST gets a key."""
    key = idempotency_key or (new_key() if method in ("POST", "DELETE") else None)
    return Call(Request(method, path, body, params or {}, key), lambda answered: answered)


def _post(path: str, body: Mapping[str, Any], key: str | None) -> Request:
    given = {name: value for name, value in body.items() if value is not None}
    return Request("POST", path, given, key=key or new_key())
