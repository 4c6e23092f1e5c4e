"""A Kafka record as a CloudEvent 1.0, in structured or binary mode (CloudEvents Kafka protocol binding 1.0.2)."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from domain.ids import is_id
from infra.strict_json import UnacceptableJson, strict_json

MAX_BYTES = 262_144  # 100 contents with URLs of 2,048 characters
STRUCTURED = "application/cloudevents"
AUTH_HEADER = "scripauth"

_VISIBLE = re.compile(r"[!-~]{1,255}")  # ids and sources are URIs, UUIDs and the like: printable ASCII without spaces
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

Headers = Iterable[tuple[str, bytes | None]]


class CloudEvent(NamedTuple):
    """What says who sent what. Organisation, source and id together make it unique for ever."""

    org: str
    source: str
    id: str
    type: str
    data: Any


class Unacceptable(Exception):
    """A record that cannot become a command: a stable reason code, and what is wrong with it in words.

    `org`, `source` and `event_id` are as much of its identity as could be read.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        org: str | None = None,
        source: str | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.org, self.source, self.event_id = org, source, event_id


def header_texts(headers: Headers) -> dict[str, str]:
    """Headers as text; the credential's is found in upper and lower case.

    Raises Unacceptable for one that occurs twice or is not UTF-8.
    """
    texts: dict[str, str] = {}
    for written, value in headers:
        name = AUTH_HEADER if written.lower() == AUTH_HEADER else written
        if name in texts:
            raise Unacceptable("not_a_cloudevent", "a header occurs twice")
        try:
            texts[name] = value.decode() if value else ""
        except UnicodeDecodeError:
            raise Unacceptable("not_a_cloudevent", "a header is not UTF-8") from None
    return texts


def read_cloud_event(headers: Mapping[str, str], value: bytes | None) -> CloudEvent:
    """The event of a record. Raises Unacceptable with the reasons `not_a_cloudevent`, `malformed_json`, `too_large`."""
    if not value:
        raise Unacceptable("not_a_cloudevent", "the record is empty")
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type.startswith(STRUCTURED) or "ce_specversion" not in headers:
        return _structured(content_type, value)
    attributes = {name[3:]: text for name, text in headers.items() if name.startswith("ce_")}
    attributes.setdefault("datacontenttype", content_type or "application/json")
    return _event(attributes, lambda: _json(value))


def _structured(content_type: str, value: bytes) -> CloudEvent:
    if content_type not in {"", "application/json", f"{STRUCTURED}+json"}:
        raise Unacceptable("not_a_cloudevent", f"the content type must be {STRUCTURED}+json")
    envelope = _json(value)
    if not isinstance(envelope, dict):
        raise Unacceptable("not_a_cloudevent", "the value is no JSON object")
    return _event(envelope, lambda: envelope.get("data"))


def _json(value: bytes) -> Any:
    if len(value) > MAX_BYTES:
        raise Unacceptable("too_large", f"{len(value)} bytes are more than the limit of {MAX_BYTES}")
    try:
        return strict_json(value)
    except UnacceptableJson as error:
        raise Unacceptable("malformed_json", str(error)) from None


def _event(attributes: Mapping[str, Any], data: Any) -> CloudEvent:
    named = attributes.get("scriporg")
    org = named if is_id(named) else None
    source = _matching(_VISIBLE, attributes.get("source"))
    event_id = _matching(_VISIBLE, attributes.get("id"))
    try:
        if attributes.get("specversion") != "1.0":
            raise Unacceptable("not_a_cloudevent", "specversion must be 1.0")
        if org is None:
            raise Unacceptable("not_a_cloudevent", "the extension scriporg must name the organisation by its id")
        if source is None or event_id is None:
            raise Unacceptable(
                "not_a_cloudevent", "source and id must be 1 to 255 printable ASCII characters, no spaces"
            )
        type_ = attributes.get("type")
        if not isinstance(type_, str) or not type_:
            raise Unacceptable("not_a_cloudevent", "type is missing")
        _check_optional(attributes)
        return CloudEvent(org, source, event_id, type_, data())
    except Unacceptable as error:
        error.org, error.source, error.event_id = org, source, event_id
        raise


def _check_optional(attributes: Mapping[str, Any]) -> None:
    content_type = attributes.get("datacontenttype", "application/json")
    if not isinstance(content_type, str) or content_type.partition(";")[0].strip().lower() != "application/json":
        raise Unacceptable("not_a_cloudevent", "the data must be application/json")
    if AUTH_HEADER in attributes:  # ignored there, it would seem to be checked
        raise Unacceptable("unauthenticated", f"the credential belongs in the header {AUTH_HEADER} of the message")
    if "data_base64" in attributes:
        raise Unacceptable("not_a_cloudevent", "the data must be JSON, not data_base64")
    time = attributes.get("time")
    if time is None:
        return
    try:
        if not isinstance(time, str) or not _RFC3339.fullmatch(time):
            raise ValueError
        datetime.fromisoformat(time.upper())
    except ValueError:
        raise Unacceptable("not_a_cloudevent", "time must be an RFC 3339 time with a zone") from None


def _matching(pattern: re.Pattern[str], value: Any) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
