"""The AsyncAPI document agrees with what is accepted and published."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from consumers.asyncapi import asyncapi_document
from consumers.usage import USAGE_TYPES
from domain.registry import SCRIP
from tests.consumers.test_usage import BAD_DATA, GOOD

DOCUMENT = asyncapi_document("t.")
BEYOND_SCHEMA = {  # rules about two fields at once, or about sizes, that JSON Schema does not express
    "no data",
    "no amount",
    "amount and model",
    "amount and options",
    "nobody",
    "two payers",
    "success with an outcome",
    "failure with a charge",
    "an address of two parts",
    "an address with an empty part",
    "a dot in an address",
    "a part of nothing",
    "metadata too large",
    "amount a float",
    "an id with a line end",
}


def _payload(type_: str) -> Any:
    message = DOCUMENT["channels"]["usage"]["messages"][type_]
    return Draft202012Validator({**message["payload"], "components": DOCUMENT["components"]})


def test_every_reference_leads_somewhere() -> None:
    def check(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                found: Any = DOCUMENT
                for step in part["$ref"].removeprefix("#/").split("/"):
                    found = found[step]
            for inner in part.values():
                check(inner)
        elif isinstance(part, list):
            for inner in part:
                check(inner)

    check(DOCUMENT)
    json.dumps(DOCUMENT)


def test_all_types_are_listed() -> None:
    channels = DOCUMENT["channels"]
    assert set(channels["usage"]["messages"]) == set(USAGE_TYPES)
    assert set(channels["ledger"]["messages"]) == set(SCRIP.events)
    assert {name: channel["address"] for name, channel in channels.items()} == {
        "usage": "t.scrip.usage",
        "ledger": "t.scrip.ledger",
        "notifications": "t.scrip.notifications",
        "decisions": "t.scrip.decisions",
        "quarantine": "t.scrip.quarantine",
    }


@pytest.mark.parametrize("name", GOOD)
def test_good_data_fits_its_schema(name: str) -> None:
    type_, data = GOOD[name]
    _payload(type_).validate(data)


@pytest.mark.parametrize("name", sorted(BAD_DATA.keys() - BEYOND_SCHEMA))
def test_bad_data_does_not_fit(name: str) -> None:
    type_, data = BAD_DATA[name]
    assert not _payload(type_).is_valid(data)
