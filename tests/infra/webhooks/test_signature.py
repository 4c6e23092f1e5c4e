"""The Standard Webhooks signature: made as its specification says, and checked without mercy."""

import pytest

from infra.webhooks.signature import BadSignature, new_secret, sign, signed_headers, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
# The reference implementations of the specification sign this message so.
KNOWN = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_it_signs_as_the_reference_implementations_do() -> None:
    assert sign(SECRET, ID, TIME, BODY) == KNOWN


def test_what_is_signed_is_verified_by_any_of_several_secrets_and_signatures() -> None:
    headers = signed_headers(SECRET, ID, TIME, BODY)
    assert verify(SECRET, headers, BODY, TIME) == ID
    assert verify([new_secret(), SECRET], headers, BODY, TIME + 300) == ID
    headers["webhook-signature"] = f"v1a,xyz v1,AAAA {headers['webhook-signature']}"
    assert verify(SECRET, headers, BODY, TIME - 300) == ID


@pytest.mark.parametrize(
    ("changed", "body", "now"),
    [
        ({}, BODY + b" ", TIME),
        ({}, BODY, TIME + 301),
        ({}, BODY, TIME - 301),
        ({"webhook-id": "msg_other"}, BODY, TIME),
        ({"webhook-timestamp": str(TIME + 1)}, BODY, TIME),
        ({"webhook-timestamp": "-1"}, BODY, TIME),
        ({"webhook-timestamp": "\N{ARABIC-INDIC DIGIT ONE}"}, BODY, TIME),
        ({"webhook-id": ""}, BODY, TIME),
        ({"webhook-signature": ""}, BODY, TIME),
        ({"webhook-signature": KNOWN.replace("v1,", "v2,")}, BODY, TIME),
        ({"webhook-signature": "v1,not base64"}, BODY, TIME),
    ],
)
def test_anything_else_is_refused(changed: dict[str, str], body: bytes, now: int) -> None:
    with pytest.raises(BadSignature):
        verify(SECRET, {**signed_headers(SECRET, ID, TIME, BODY), **changed}, body, now)


def test_another_secret_does_not_do() -> None:
    with pytest.raises(BadSignature):
        verify(new_secret(), signed_headers(SECRET, ID, TIME, BODY), BODY, TIME)


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_@@"])
def test_what_is_no_secret_is_a_fault_of_ours(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        sign(secret, ID, TIME, BODY)


def test_secrets_are_long_and_differ() -> None:
    assert new_secret() != new_secret()
    assert len(new_secret()) >= len("whsec_") + 32
