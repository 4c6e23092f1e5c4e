"""Names without invisible characters and marks of direction, free texts as they came: over HTTP and from Kafka."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from consumers.usage import Metered
from tests.api.service import Service, address

NASTY = ["ad\u202emin", "ad\u2066min\u2069", "ad\u200bmin", "admin\u200e", "\u061cadmin", "ad\u2060min", "ad\ufeffmin",
         "ad\u00admin", "admin\U000e0041", "line\nbreak", "ad\u200dmin"]  # fmt: skip
CHAT: dict[str, Any] = {"operation": "chat", "user_id": "ann"}
# Method, path, body with `%` for the name, the field that the problem must name.
NAMED: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "/api/groups", {"name": "%"}, "name"),
    ("POST", "/api/v1/api-keys", {"name": "%"}, "name"),
    ("POST", "/api/v1/webhooks", {"url": "https://example.com/x", "description": "%"}, "description"),
    ("PUT", "/api/v1/plans/pro", {"name": "%", "tokens": {}}, "name"),
    ("PUT", "/api/v1/prices", {"entries": [{"model": "%", "credits": 1}]}, "entries.0.model"),
    ("PUT", "/api/v1/prices", {"entries": [{"provider": "%", "model": "m", "credits": 1}]}, "entries.0.provider"),
    ("POST", "/api/v1/generations/check", CHAT | {"model": "%"}, "model"),
    ("POST", "/api/v1/generations", CHAT | {"provider": "%", "model": "m"}, "provider"),
    ("POST", "/api/v1/generations", CHAT | {"feature": "%"}, "feature"),
    ("POST", "/api/v1/generations/check", CHAT | {"options": {"style": "%"}}, "options.style"),
    ("POST", "/api/v1/quotes", {"operation": "chat", "model": "%"}, "model"),
]


def filled(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {name: filled(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, text) for each in value]
    return text if value == "%" else value


@pytest.mark.parametrize(("method", "path", "body", "field"), NAMED)
def test_a_name_that_people_cannot_read_is_refused_by_its_field(
    service: Service, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    client = service.client("admin", org="acme")
    for text in NASTY:
        answer = client.request(method, path, json=filled(body, text))
        assert answer.status_code == 422, (text.encode("unicode_escape"), answer.text)
        assert str(answer.json()["field"]).startswith(field), answer.text


def test_a_free_text_is_kept_as_it_came(service: Service) -> None:
    client, path = service.client(), f"/api/v1/accounts/{address()}"
    text = "שלום\u200f, \u202eworld\u202c 👩‍🎨\nsecond line"
    assert client.post(f"{path}/grants", json={"amount": 9, "source": "gift", "reason": text}).status_code == 201
    service.project()
    assert client.get(f"{path}/transactions").json()["items"][0]["reason"] == text


@pytest.mark.parametrize("field", ["operation", "model", "provider"])
def test_a_name_from_kafka_is_held_to_the_same_rule(field: str) -> None:
    adapter = TypeAdapter(Metered)
    good = {"user_id": "ann", "model": "m"}
    adapter.validate_python(good | {field: "نقاش"})
    for text in NASTY:
        with pytest.raises(ValidationError, match=field):
            adapter.validate_python(good | {field: text})
