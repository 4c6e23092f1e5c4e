"""What a worker reports of a generation: as the body of an HTTP call, and as a CloudEvent for the usage topic."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Self
from uuid import uuid4

from scrip_client.steps import Record

OptionValue = int | bool | str

COMPLETED = "scrip.usage.generation.completed"
SOURCE = "scrip-client"
MAX_TEXT = 2_000  # characters of an error message that the API takes
MAX_MESSAGE = 60_000  # bytes; a larger one goes over HTTP
MAX_CONTENTS = 100
MAX_URL = 2_048
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Report:
    """One settlement, as it is kept in the journal: the same key for every time that it is sent.

    `action` is `confirm` or `fail`; `by` is `http` or `kafka`; `topic_key` groups what must be read in order.
    """

    generation_id: str
    key: str
    action: str
    body: dict[str, Any]
    by: str = "http"
    topic_key: str = field(default="")

    @property
    def final(self) -> bool:
        """Whether it ends the generation."""
        return bool(self.body.get("final", True))

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Self:
        """From the journal. Raises KeyError, TypeError where a field is missing."""
        names = ("generation_id", "key", "action", "body", "by", "topic_key")
        return cls(**{name: told[name] for name in names})


def confirmation(
    *,
    content_bytes: int | None = None,
    contents: Sequence[Mapping[str, Any]] | None = None,
    usage: Mapping[str, int] | None = None,
    actual: Mapping[str, Any] | None = None,
    succeeded: int | None = None,
    provider_cost: Any = None,
    generation_time_ms: int | None = None,
    final: bool = True,
) -> dict[str, Any]:
    """The body of `confirm`. Raises TypeError for `content_bytes` and `contents` together.

    Contents without an id get one here, so that a repeated settlement stores them once.
    """
    if content_bytes is not None and contents is not None:
        raise TypeError("give content_bytes for one object or contents for several, not both")
    kept = [{"bytes": content_bytes}] if content_bytes is not None else contents or []
    body = {
        "contents": [{"id": uuid4().hex, **content} for content in kept] or None,
        "usage": dict(usage) if usage is not None else None,
        "actual": _with_money(actual) if actual is not None else None,
        "succeeded": succeeded,
        "provider_cost": money(provider_cost),
        "generation_time_ms": generation_time_ms,
    }
    return {name: value for name, value in body.items() if value is not None} | ({} if final else {"final": False})


def failure(
    outcome: str,
    error_message: str | None,
    provider_cost: Any = None,
    generation_time_ms: int | None = None,
    usage: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The body of `fail`. The message is cleared of what the API refuses, and cut."""
    body = {
        "outcome": outcome,
        "usage": dict(usage) if usage is not None else None,
        "error_message": _FORBIDDEN.sub(" ", error_message)[:MAX_TEXT] or None if error_message else None,
        "provider_cost": money(provider_cost),
        "generation_time_ms": generation_time_ms,
    }
    return {name: value for name, value in body.items() if value is not None}


def money(value: Any) -> dict[str, str] | None:
    """`Decimal("0.04")`, `"0.04"` or `{"amount": "0.04", "currency": "EUR"}`. Raises TypeError for a float."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {"amount": _decimal(value["amount"]), "currency": str(value.get("currency", "USD"))}
    return {"amount": _decimal(value), "currency": "USD"}


def record_of(report: Report, topic: str, organisation: str, token: str | None) -> Record | None:
    """The message for the usage topic; None where the topic does not take it, so that it goes over HTTP."""
    success = report.action == "confirm"
    data = {"generation_id": report.generation_id, "success": success, **report.body}
    contents = report.body.get("contents", [])
    value = json.dumps(data, separators=(",", ":")).encode()
    too_long = any(len(content.get("url") or "") > MAX_URL for content in contents)
    if len(value) > MAX_MESSAGE or len(contents) > MAX_CONTENTS or too_long:
        return None
    headers = {
        "ce_specversion": "1.0",
        "ce_type": COMPLETED,
        "ce_source": SOURCE,
        "ce_id": report.key,
        "ce_scriporg": organisation,
        "content-type": "application/json",
    }
    if token is not None:
        headers["scripauth"] = token
    # One key for one user, so that an earlier part is read before the end.
    key = f"{organisation}/{report.topic_key or report.generation_id}".encode()
    return Record(topic, key, value, [(name, text.encode()) for name, text in headers.items()])


def _with_money(actual: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _decimal(value) if name == "usd" else value for name, value in actual.items()}


def _decimal(value: Any) -> str:
    if isinstance(value, float):
        raise TypeError("money is a Decimal or text, never a float")
    return f"{Decimal(value):f}"
