"""What is accepted on `scrip.usage`, and that everything else is refused with a reason and without an exception."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.intake.record import Record, Rejected, UsageEvent, body_of, read_record, record_of
from consumers.usage import COMPLETED, METERED, STARTED
from infra.partitions import PLATFORM
from tests.consumers.usage_records import attributes, binary, completed, metered, raw, started, structured

GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "started": (STARTED, {"generation_id": "g-1"}),
    "success": (COMPLETED, {"generation_id": "g-1", "success": True}),
    "part": (COMPLETED, {"generation_id": "g-1", "success": True, "actual": {"credits": 3}, "final": False}),
    "all of confirm": (
        COMPLETED,
        {
            "generation_id": "g-1",
            "success": True,
            "usage": {"input_tokens": 12},
            "actual": {"credits": 0, "usd": "0.04"},
            "contents": [{"id": "c1", "url": "https://x.test/1", "bytes": 10}],
            "succeeded": 1,
            "generation_time_ms": 900,
            "provider_cost": {"amount": "0.040000", "currency": "USD"},
            "metadata": {"score": 0.5},
        },
    ),
    "failure": (
        COMPLETED,
        {"generation_id": "g-1", "success": False, "outcome": "timed_out", "error_message": "no answer\n\tafter 60 s"},
    ),
    "amount": (METERED, {"address": "org:acme:tokens.lead", "amount": 10**12}),
    "user": (METERED, {"user_id": "u|1@x", "amount": 1, "reason": "caf\u00e9 \U0001f600", "metadata": {"a": [1, {}]}}),
    "priced": (
        METERED,
        {"user_id": "u_1", "model": "FLUX.1 Kontext [pro]", "options": {"count": 2, "hd": True, "size": "L"}},
    ),
}

BAD_DATA: dict[str, tuple[str, Any]] = {
    "no data": (METERED, None),
    "a list": (METERED, [1]),
    "amount 0": (METERED, {"user_id": "u", "amount": 0}),
    "amount negative": (METERED, {"user_id": "u", "amount": -5}),
    "amount too large": (METERED, {"user_id": "u", "amount": 10**12 + 1}),
    "amount a float": (METERED, {"user_id": "u", "amount": 5.0}),
    "amount a text": (METERED, {"user_id": "u", "amount": "5"}),
    "amount true": (METERED, {"user_id": "u", "amount": True}),
    "no amount": (METERED, {"user_id": "u"}),
    "amount and model": (METERED, {"user_id": "u", "amount": 5, "model": "m"}),
    "amount and options": (METERED, {"user_id": "u", "amount": 5, "options": {"a": 1}}),
    "nobody": (METERED, {"amount": 5}),
    "two payers": (METERED, {"user_id": "u", "address": "user:u:credits", "amount": 5}),
    "an address of two parts": (METERED, {"address": "user:credits", "amount": 5}),
    "an address with an empty part": (METERED, {"address": "user::credits", "amount": 5}),
    "a dot as id": (METERED, {"user_id": "..", "amount": 5}),
    "an id with a slash": (METERED, {"user_id": "a/b", "amount": 5}),
    "an id with a line end": (METERED, {"user_id": "a\n", "amount": 5}),
    "an id too long": (METERED, {"user_id": "a" * 256, "amount": 5}),
    "an unknown field": (METERED, {"user_id": "u", "amount": 5, "price": 1}),
    "metadata too large": (METERED, {"user_id": "u", "amount": 5, "metadata": {"a": "x" * 4096}}),
    "an option of a list": (METERED, {"user_id": "u", "model": "m", "options": {"a": [1]}}),
    "a dot in an address": (METERED, {"address": "user:..:credits", "amount": 5}),
    "a dot as a model": (METERED, {"user_id": "u", "model": ".."}),
    "a duration of 0": (METERED, {"user_id": "u", "model": "m", "options": {"duration": 0}}),
    "a negative duration": (METERED, {"user_id": "u", "model": "m", "options": {"duration": -5}}),
    "a duration of true": (METERED, {"user_id": "u", "model": "m", "options": {"duration": True}}),
    "a duration of text": (METERED, {"user_id": "u", "model": "m", "options": {"duration": "6"}}),
    "an option of a float": (METERED, {"user_id": "u", "model": "m", "options": {"duration": 5.5}}),
    "success a number": (COMPLETED, {"generation_id": "g", "success": 1}),
    "no success": (COMPLETED, {"generation_id": "g"}),
    "success with an outcome": (COMPLETED, {"generation_id": "g", "success": True, "outcome": "other"}),
    "failure with a charge": (COMPLETED, {"generation_id": "g", "success": False, "actual": {"credits": 1}}),
    "an unknown outcome": (COMPLETED, {"generation_id": "g", "success": False, "outcome": "bored"}),
    "usd a number": (COMPLETED, {"generation_id": "g", "success": True, "actual": {"usd": 0.04}}),
    "usd with 7 places": (COMPLETED, {"generation_id": "g", "success": True, "actual": {"usd": "0.0000001"}}),
    "a part of nothing": (COMPLETED, {"generation_id": "g", "success": True, "actual": {"credits": 0}, "final": False}),
}

ENVELOPE = json.dumps(attributes("e1") | {"data": {"user_id": "u", "amount": 5}})

BAD_RECORDS: dict[str, tuple[Record, str]] = {
    "a tombstone": (raw(None), "not_a_cloudevent"),
    "nothing": (raw(b""), "not_a_cloudevent"),
    "no JSON": (raw(b"hello"), "malformed_json"),
    "half of JSON": (raw(ENVELOPE.encode()[:-3]), "malformed_json"),
    "two values": (raw(ENVELOPE.encode() * 2), "malformed_json"),
    "not UTF-8": (raw(b'{"id": "\xff"}'), "malformed_json"),
    "UTF-16": (raw(ENVELOPE.encode("utf-16")), "malformed_json"),
    "a byte order mark": (raw(b"\xef\xbb\xbf" + ENVELOPE.encode()), "malformed_json"),
    "a key twice": (raw(ENVELOPE.replace('"amount": 5', '"amount": 5, "amount": 500').encode()), "malformed_json"),
    "NaN": (raw(ENVELOPE.replace("5}", "NaN}").encode()), "malformed_json"),
    "Infinity": (raw(ENVELOPE.replace("5}", "-Infinity}").encode()), "malformed_json"),
    "1e999": (raw(ENVELOPE.replace("5}", "1e999}").encode()), "malformed_json"),
    "a number of 5000 digits": (raw(ENVELOPE.replace("5}", "5" * 5000 + "}").encode()), "malformed_json"),
    "a number of 30 digits in metadata": (metered("e1", 10**30), "malformed_json"),
    "NUL": (raw(ENVELOPE.replace('"u"', '"u\\u0000"').encode()), "malformed_json"),
    "NUL in a key": (raw(ENVELOPE.replace('"amount"', '"am\\u0000"').encode()), "malformed_json"),
    "a raw C1 control": (raw(ENVELOPE.replace('"u"', '"u\u0085"').encode()), "malformed_json"),
    "half of a surrogate pair": (raw(ENVELOPE.replace('"u"', '"\\ud800"').encode()), "malformed_json"),
    "17 levels": (raw(b"[" * 17 + b"]" * 17), "malformed_json"),
    "30,000 levels": (raw(b"[" * 30_000 + b"]" * 30_000), "malformed_json"),
    "270 KB": (raw(ENVELOPE.encode() + b" " * 270_000), "too_large"),
    "an array": (raw(b"[]"), "not_a_cloudevent"),
    "a batch": (raw(b"[]", ("content-type", b"application/cloudevents-batch+json")), "not_a_cloudevent"),
    "text": (raw(b"{}", ("content-type", b"text/plain")), "not_a_cloudevent"),
    "a header twice": (raw(b"{}", ("ce_id", b"1"), ("ce_id", b"2")), "not_a_cloudevent"),
    "a header not UTF-8": (raw(b"{}", ("ce_id", b"\xff")), "not_a_cloudevent"),
    "version 0.3": (metered("e1", specversion="0.3"), "not_a_cloudevent"),
    "no organisation": (metered("e1", scriporg=None), "not_a_cloudevent"),
    "an organisation with a slash": (metered("e1", scriporg="a/b"), "not_a_cloudevent"),
    "an organisation that is a number": (metered("e1", scriporg=5), "not_a_cloudevent"),
    "no id": (metered("e1", id=None), "not_a_cloudevent"),
    "an id with a space": (metered("e 1"), "not_a_cloudevent"),
    "no source": (metered("e1", source=""), "not_a_cloudevent"),
    "no type": (metered("e1", type=None), "not_a_cloudevent"),
    "an unknown type": (metered("e1", type="scrip.usage.refund"), "unknown_type"),
    "a time without a zone": (metered("e1", time="2026-01-01T00:00:00"), "not_a_cloudevent"),
    "a time that is none": (metered("e1", time="2026-13-01T00:00:00Z"), "not_a_cloudevent"),
    "data in base64": (metered("e1", data_base64="e30="), "not_a_cloudevent"),
    "data in XML": (metered("e1", datacontenttype="application/xml"), "not_a_cloudevent"),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("mode", [structured, binary])
def test_accepts(name: str, mode: Any) -> None:
    type_, data = GOOD[name]
    item = read_record(mode("e1", data, type_, time="2026-01-01T00:00:00.5+01:00", subject="s", traceparent="t"))
    assert isinstance(item, UsageEvent), item
    assert item.identity == ("acme", "/workers/7", "e1")
    assert item.data.model_dump(exclude_unset=True) == data


@pytest.mark.parametrize("name", BAD_DATA)
@pytest.mark.parametrize("mode", [structured, binary])
def test_refuses_data(name: str, mode: Any) -> None:
    type_, data = BAD_DATA[name]
    item = read_record(mode("e1", data, type_))
    assert isinstance(item, Rejected)
    assert (item.reason, item.org, item.source, item.event_id) == ("invalid_data", "acme", "/workers/7", "e1")


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_refuses_records(name: str) -> None:
    record, reason = BAD_RECORDS[name]
    item = read_record(record)
    assert isinstance(item, Rejected)
    assert item.reason == reason


def test_the_fingerprint_is_of_the_content_alone() -> None:
    one = read_record(structured("e1", {"user_id": "u", "amount": 5}, time="2026-01-01T00:00:00Z"))
    same = read_record(binary("e1", {"amount": 5, "user_id": "u"}))
    other = read_record(structured("e1", {"user_id": "u", "amount": 6}))
    assert isinstance(one, UsageEvent)
    assert isinstance(same, UsageEvent)
    assert isinstance(other, UsageEvent)
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_an_unreadable_record_is_filed_by_its_place_and_content() -> None:
    items = [read_record(raw(b"hello")), read_record(raw(b"hello")), read_record(raw(b"hallo"))]
    ids = [item.id for item in items if isinstance(item, Rejected)]
    assert ids[0] == ids[1] != ids[2]
    assert isinstance(items[0], Rejected)
    assert (items[0].org, items[0].event_id) == (PLATFORM, "scrip.usage/3/17")


def test_a_sentence_about_bad_data_does_not_quote_it() -> None:
    item = read_record(structured("e1", {"user_id": "secret /@", "amount": "secret", "secret\u00fc" * 9: 1}))
    assert isinstance(item, Rejected)
    assert "secret /@" not in item.detail
    assert item.detail.isascii()


def test_the_kept_body_can_be_read_again_and_holds_no_credential() -> None:
    record = binary("e1", {"user_id": "u", "amount": 5})
    record = record._replace(headers=(*record.headers, ("scripauth", b"token-of-a-worker")))
    item = read_record(record)
    assert isinstance(item, UsageEvent)
    assert item.credential == "token-of-a-worker"
    refused = Rejected(record, *item.identity, "insufficient_credits", "", "worker:w1", item.fingerprint)
    body = body_of(refused)
    assert "token" not in json.dumps(body)
    again, actor = record_of(body)
    item_again = read_record(again)
    assert isinstance(item_again, UsageEvent)
    assert (item_again.event, item_again.fingerprint, actor) == (item.event, item.fingerprint, "worker:w1")


def test_the_kept_body_of_a_huge_record_is_bounded() -> None:
    item = read_record(raw(b" " * 1_000_000))
    assert isinstance(item, Rejected)
    assert len(json.dumps(body_of(item))) < 400_000


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), st.booleans())
def test_no_bytes_raise(value: bytes, in_binary_mode: bool) -> None:
    headers = [(f"ce_{name}", str(text).encode()) for name, text in attributes("e1").items()] if in_binary_mode else []
    assert isinstance(read_record(raw(value, *headers)), Rejected)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.dictionaries(st.sampled_from([*attributes("e1"), "data", "time", "datacontenttype"]) | st.text(), _json),
    st.booleans(),
)
def test_no_json_raises(event: dict[str, Any], complete: bool) -> None:
    whole = attributes("e1") | {"data": {"user_id": "u", "amount": 5}} | event if complete else event
    assert isinstance(read_record(raw(json.dumps(whole).encode())), UsageEvent | Rejected)


def test_the_records_of_these_tests_are_good() -> None:
    for record in (metered("e1"), completed("e2", "r1"), started("e3", "r1")):
        assert isinstance(read_record(record), UsageEvent)
