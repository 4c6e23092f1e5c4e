"""What checks, generations, contents and storage answer, as the OpenAPI document describes it.

Credits and tokens are whole, sizes bytes; USD is decimal text beside its currency.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel


class Quote(BaseModel):
    """What it is expected to take; 0 of what does not apply. `plan_tokens` are of `token_type`."""

    credits: int
    tokens: int
    usd: str
    currency: str
    bytes: int
    token_type: str | None = None
    plan_tokens: int
    item: str | None = None
    price_version: int | None = None


class Held(BaseModel):
    """What is held of one resource: on an account, for a user (storage, budget) or in a group."""

    resource: str
    account: str | None = None
    user: str | None = None
    group: str | None = None
    unit: str
    amount: int | str


class Check(BaseModel):
    """One resource's answer; `available` and `limit` null for unlimited. `formatted`: the same numbers for people."""

    resource: str
    subject: str
    ok: bool
    reason: str
    needed: int | str
    available: int | str | None
    limit: int | str | None
    deficit: int | str
    currency: str | None = None
    message: str
    formatted: dict[str, str]


class Alternative(BaseModel):
    """Priced options that would pass."""

    label: str
    provider: str | None
    model: str | None
    options: dict[str, Any]
    credits: int
    tokens: int
    usd: str
    currency: str


class Action(BaseModel):
    """A way out for the person who was refused."""

    label: str
    href: str


class Assessment(BaseModel):
    """May it run? `tokens_needed` and `storage_needed` are what is missing."""

    can_proceed: bool
    reason: str
    tokens_needed: int
    storage_needed: int
    current_tokens: int
    current_storage: int
    storage_limit: int
    storage_percent: float
    storage_formatted: str
    quote: Quote
    checks: list[Check]
    alternatives: list[Alternative]
    actions: list[Action]
    position: str


class Charged(BaseModel):
    """What was charged or given back; USD is what was actually spent."""

    credits: int
    tokens: int
    plan_tokens: int
    usd: str
    currency: str


class Cost(BaseModel):
    """What a provider was paid."""

    amount: str
    currency: str


class Moved(BaseModel):
    """Of one resource: all that was held, what was charged, what came back when it ended, what was refunded later."""

    held: int | str
    charged: int | str
    returned: int | str
    refunded: int | str


class GenerationRow(BaseModel):
    """A generation and what has become of it. `refusal`: the reason of one that was refused.

    `amounts`: by resource (credits, tokens, plan_tokens, usd); `held` of USD is what it was expected to cost.
    `outcome_text` says the same to people: `Completed: 1,100 credits charged, 140 returned`.
    """

    generation_id: str
    transaction_id: str
    user_id: str
    parent_id: str | None = None
    operation: str
    provider: str | None = None
    model: str | None = None
    options: dict[str, Any]
    count: int
    feature: str | None = None
    status: str
    refusal: str | None = None
    outcome: str | None = None
    quote: Quote
    holds: list[Held]
    amounts: dict[str, Moved]
    outcome_text: str
    charged: Charged
    refunded: Charged
    uncharged: dict[str, int | str]
    shortfall: dict[str, int | str]
    succeeded: int
    contents: int
    content_bytes: int
    provider_cost: Cost | None = None
    generation_time_ms: int | None = None
    prompt: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    error_message: str | None = None
    actor: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    position: str


class ContentRow(BaseModel):
    """A stored generation."""

    content_id: str
    user_id: str
    generation_id: str | None = None
    bytes: int
    formatted: str
    url: str | None = None
    created_at: datetime
    position: str


class GenerationWhole(GenerationRow):
    """With what it has stored and the generations that are parts of it."""

    stored: list[ContentRow]
    children: list[GenerationRow]


class StorageUse(BaseModel):
    """In bytes: `used` is stored, `held` is kept free for generations that run; `percent` is of both together."""

    user_id: str
    used: int
    held: int
    limit: int
    available: int
    percent: float
    formatted: str
    position: str


class Step(BaseModel):
    """Something that happened, in words."""

    at: datetime
    position: str
    actor: str
    type: str
    text: str


class Payment(BaseModel):
    """A grant that a part of a hold or charge is of; none for an account's credit limit. A hold has no debit yet."""

    debit_id: str | None
    account: str
    grant_id: str | None
    source: str
    amount: int


class Explanation(BaseModel):
    """Why a generation was allowed or refused, which grants paid, and what has happened since: from the log alone."""

    generation_id: str
    user_id: str
    operation: str
    provider: str | None = None
    model: str | None = None
    status: str
    allowed: bool
    reason: str
    decision: str
    quote: Quote
    checks: list[Check]
    holds: list[Held]
    held_from: list[Payment]
    paid_by: list[Payment]
    history: list[Step]
    position: str
