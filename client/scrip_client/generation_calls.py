"""The calls about generations: each says what to send and how the answer is read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote as percent_encoded

from scrip_client.answers import (
    Assessment,
    Changed,
    Content,
    Created,
    Explanation,
    Extended,
    GenerationRefunded,
    GenerationState,
    Price,
    Settlement,
)
from scrip_client.decoding import decode
from scrip_client.listing import Listing, filters
from scrip_client.settling import OptionValue, confirmation, failure
from scrip_client.steps import Call, Request, new_key

PATH = "/api/v1/generations"
TTL_S = 900
# Fields that look like options and would be priced as such if they were let through.
_NO_OPTIONS = frozenset({"user_id", "ttl", "org", "organisation", "content", "contents", "usage"})


def path_of(generation_id: str, verb: str = "") -> str:
    """A generation's path, or that of something done to it."""
    path = f"{PATH}/{percent_encoded(generation_id, safe='')}"
    return f"{path}/{verb}" if verb else path


def asked(
    user: str | None,
    operation: str,
    options: Mapping[str, OptionValue] | None,
    more: Mapping[str, OptionValue],
    **fields: Any,
) -> dict[str, Any]:
    """What is asked for, as a body. Raises TypeError for a name that is no option."""
    if wrong := sorted(_NO_OPTIONS & set(more)):
        raise TypeError(f"{wrong[0]} is no option of a generation")
    body = {"user_id": user, "operation": operation, "options": {**(options or {}), **more}, **fields}
    return {name: value for name, value in body.items() if value is not None}


def check(
    *,
    user: str | None,
    operation: str,
    provider: str | None = None,
    model: str | None = None,
    tokens: int | None = None,
    bytes: int | None = None,  # noqa: A002 - the contract's name: any other would be taken for an option
    estimate: Mapping[str, int] | None = None,
    token_type: str | None = None,
    feature: str | None = None,
    options: Mapping[str, OptionValue] | None = None,
    **more: OptionValue,
) -> Call[Assessment]:
    """May it run now, and what would it take? Holds nothing. `user` None: the user whose token it is.

    `estimate`: units that it may use, by name; they size the hold of what is priced by use.
    """
    fields: dict[str, Any] = {"provider": provider, "model": model, "tokens": tokens, "bytes": bytes}
    fields["estimate"] = _units(estimate)
    body = asked(user, operation, options, more, **fields, token_type=token_type, feature=feature)
    return Call(Request("POST", f"{PATH}/check", body), partial(decode, Assessment))


def quote(
    *,
    operation: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    estimate: Mapping[str, int] | None = None,
    options: Mapping[str, OptionValue] | None = None,
    **more: OptionValue,
) -> Call[Price]:
    """A price by the price book, without charging. Raises InvalidValue (`unpriced`).

    `estimate`: units that it may use, by name; they size the hold of what is priced by use.
    """
    body: dict[str, Any] = {"operation": operation, "provider": provider, "model": model}
    body["options"] = {**(options or {}), **more}
    body["estimate"] = _units(estimate)
    given = {name: value for name, value in body.items() if value is not None}
    return Call(Request("POST", "/api/v1/quotes", given), partial(decode, Price))


def create(
    *,
    user: str | None,
    operation: str,
    provider: str | None = None,
    model: str | None = None,
    tokens: int | None = None,
    bytes: int | None = None,  # noqa: A002 - as above
    estimate: Mapping[str, int] | None = None,
    token_type: str | None = None,
    feature: str | None = None,
    id: str | None = None,  # noqa: A002 - the contract's name
    parent_id: str | None = None,
    prompt: str | None = None,
    reason: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    ttl_seconds: int = TTL_S,
    options: Mapping[str, OptionValue] | None = None,
    idempotency_key: str | None = None,
    **more: OptionValue,
) -> Call[Created]:
    """Hold everything that a generation needs, for a worker that settles it. Raises InsufficientResources.

    `estimate`: units that it may use, by name; they size the hold of what is priced by use.
    """
    fields: dict[str, Any] = {"provider": provider, "model": model, "tokens": tokens, "bytes": bytes, "id": id}
    fields |= {"parent_id": parent_id, "prompt": prompt, "reason": reason, "metadata": metadata}
    fields |= {"token_type": token_type, "feature": feature, "ttl_seconds": ttl_seconds}
    fields["estimate"] = _units(estimate)
    body = asked(user, operation, options, more, **fields)
    return Call(Request("POST", PATH, body, key=idempotency_key or new_key()), partial(decode, Created))


def start(generation_id: str, *, idempotency_key: str | None = None) -> Call[Changed]:
    """A worker begins; from now on only the outcome ends it. Raises Conflict where another has begun."""
    return Call(_post(generation_id, "start", {}, idempotency_key), partial(decode, Changed))


def cancel(generation_id: str, *, idempotency_key: str | None = None) -> Call[Changed]:
    """Call off what no worker has started; everything goes back. Raises Conflict."""
    return Call(_post(generation_id, "cancel", {}, idempotency_key), partial(decode, Changed))


def extend(
    generation_id: str, *, ttl_seconds: int, grow: int = 0, idempotency_key: str | None = None
) -> Call[Extended]:
    """Keep the holds for `ttl_seconds` from now, and hold `grow` more. Raises Conflict where it has ended."""
    body = {"ttl_seconds": ttl_seconds, "grow": grow}
    return Call(_post(generation_id, "extend", body, idempotency_key), partial(decode, Extended))


def confirm(
    generation_id: str,
    *,
    content_bytes: int | None = None,
    contents: Sequence[Mapping[str, Any]] | None = None,
    usage: Mapping[str, int] | None = None,
    actual: Mapping[str, Any] | None = None,
    succeeded: int | None = None,
    provider_cost: Any = None,
    generation_time_ms: int | None = None,
    final: bool = True,
    idempotency_key: str | None = None,
) -> Call[Settlement]:
    """Settle a success without the context manager; the fields are those of a generation's `confirm`."""
    body = confirmation(
        content_bytes=content_bytes,
        contents=contents,
        usage=usage,
        actual=actual,
        succeeded=succeeded,
        provider_cost=provider_cost,
        generation_time_ms=generation_time_ms,
        final=final,
    )
    return Call(_post(generation_id, "confirm", body, idempotency_key), partial(decode, Settlement))


def fail(
    generation_id: str,
    outcome: str,
    *,
    error_message: str | None = None,
    usage: Mapping[str, int] | None = None,
    provider_cost: Any = None,
    generation_time_ms: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Settlement]:
    """Settle a failure without the context manager; what is held goes back.

    `usage`: what was used until then; the organisation's settlement policy says whether it is charged.
    """
    body = failure(outcome, error_message, provider_cost, generation_time_ms, usage)
    return Call(_post(generation_id, "fail", body, idempotency_key), partial(decode, Settlement))


def refund_generation(
    generation_id: str,
    *,
    reason: str,
    amount: int | None = None,
    contents: Sequence[str] = (),
    idempotency_key: str | None = None,
) -> Call[GenerationRefunded]:
    """Give back what a generation was charged: `amount`, the share of `contents`, or all that is left."""
    body: dict[str, Any] = {"reason": reason}
    if amount is not None:
        body["amount"] = amount
    if contents:
        body["contents"] = list(contents)
    return Call(_post(generation_id, "refund", body, idempotency_key), partial(decode, GenerationRefunded))


def generation_of(generation_id: str, *, min_position: str | None = None) -> Call[GenerationState]:
    """A generation and what has become of it. `min_position`: as of a command's `position`, at least."""
    return Call(_get(path_of(generation_id), min_position), partial(decode, GenerationState))


def explain(generation_id: str) -> Call[Explanation]:
    """Why it was allowed or refused, which grants paid, and what has happened since."""
    return Call(_get(path_of(generation_id, "explain"), None), partial(decode, Explanation))


def generations(
    *,
    user: str | None = None,
    status: str | None = None,
    model: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    min_position: str | None = None,
) -> Listing[GenerationState]:
    """Generations, newest first."""
    wanted = filters(user_id=user, status=status, model=model, outcome=outcome, since=since, until=until)
    return Listing(PATH, wanted | filters(min_position=min_position), partial(decode, GenerationState))


def contents(*, user: str | None = None, sort: str | None = None, min_position: str | None = None) -> Listing[Content]:
    """Stored objects; `sort` by `size` or `age`."""
    wanted = filters(user_id=user, sort=sort, min_position=min_position)
    return Listing("/api/v1/contents", wanted, partial(decode, Content))


def _units(estimate: Mapping[str, int] | None) -> dict[str, int] | None:
    return dict(estimate) if estimate is not None else None


def _post(generation_id: str, verb: str, body: Mapping[str, Any], key: str | None) -> Request:
    return Request("POST", path_of(generation_id, verb), body, key=key or new_key())


def _get(path: str, min_position: str | None) -> Request:
    return Request("GET", path, params=filters(min_position=min_position))
