"""How a generation's work begins: with a hold of its own, or with one that somebody else has made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scrip_client import generation_calls as calls
from scrip_client.answers import Created
from scrip_client.settling import OptionValue
from scrip_client.steps import Call, new_key


@dataclass(frozen=True, slots=True)
class Opening:
    """A generation that is to be held (`create`), or one that is already held and is taken over (None)."""

    generation_id: str
    user: str | None
    ttl_seconds: int
    start: bool
    create: Call[Created] | None


def generation(
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
    id: str | None = None,  # noqa: A002 - the contract's name
    parent_id: str | None = None,
    prompt: str | None = None,
    reason: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    ttl_seconds: int = calls.TTL_S,
    options: Mapping[str, OptionValue] | None = None,
    idempotency_key: str | None = None,
    start: bool = True,
    **more: OptionValue,
) -> Opening:
    """A generation as a context manager: held on entry, settled on exit, given back on an exception.

    Names that are not among the parameters are options: `resolution="1080P", duration=6`. `id`: the caller's own, for
    example a job's. `estimate`: units that it may use; they size the hold of what is priced by use. `ttl_seconds`: how
    long the holds outlive a dead worker; a living one extends them. `start` False: the user may still cancel. Entering
    raises InsufficientResources, which says what is short.
    """
    id_ = id if id is not None else new_key()
    create = calls.create(
        user=user, operation=operation, provider=provider, model=model, tokens=tokens, bytes=bytes,
        estimate=estimate,
        token_type=token_type, feature=feature, id=id_, parent_id=parent_id, prompt=prompt, reason=reason,
        metadata=metadata, ttl_seconds=ttl_seconds, options=options, idempotency_key=idempotency_key, **more,
    )  # fmt: skip
    return Opening(id_, user, ttl_seconds, start, create)


def work_on(generation_id: str, *, ttl_seconds: int = calls.TTL_S, user: str | None = None) -> Opening:
    """The same for a generation that somebody else has created: a worker that takes a job from a queue.

    Entering raises Conflict where another worker has started it or it has ended.
    """
    return Opening(generation_id, user, ttl_seconds, start=True, create=None)
