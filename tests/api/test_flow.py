"""Every call of the contract once, end to end, and its answer as the OpenAPI document describes it."""

import csv
import io
import re
from typing import Any

import httpx
import pypdf
import pytest
from jsonschema import Draft202012Validator

from tests.api.service import Service, address
from tests.conftest import move_clock


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    """The OpenAPI document."""
    found: dict[str, Any] = service.client(None).get("/api/openapi.json").json()
    return found


class Caller:
    """A client that checks every answer against the document."""

    def __init__(self, client: httpx.Client, document: dict[str, Any], account: str) -> None:
        self._client, self._document, self.path = client, document, f"/api/v1/accounts/{account}"

    def __call__(self, method: str, path: str, body: Any = None, expect: int = 200, **params: Any) -> dict[str, Any]:
        path = self.path + path if not path.startswith("/api") else path
        answer = self._client.request(method, path, json=body, params=params)
        assert answer.status_code == expect, answer.text
        told: dict[str, Any] = answer.json()
        self._conforms(method, answer.request.url.path, expect, told)
        return told

    def _conforms(self, method: str, path: str, status: int, told: dict[str, Any]) -> None:
        for template, operations in self._document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
                responses = operations[method.lower()]["responses"]
                if str(status) in responses:
                    schema = responses[str(status)]["content"]["application/json"]["schema"]
                else:
                    schema = {"$ref": "#/components/schemas/ProblemDetails"}
                whole = {**schema, "components": self._document["components"]}
                errors = [error.message for error in Draft202012Validator(whole).iter_errors(told)]
                assert not errors, (path, errors)
                return
        raise AssertionError(f"{method} {path} is not in the document")


def balanced(balance: dict[str, Any]) -> bool:
    left = balance["available"] + balance["reserved"] + balance["debited"] - balance["refunded"] + balance["expired"]
    left += balance["voided"] + balance["transferred_out"]
    return bool(left == balance["granted"] + balance["transferred_in"])


def test_the_whole_life_of_an_account(service: Service, document: dict[str, Any]) -> None:
    """S4-4."""
    account = address()
    call = Caller(service.client(), document, account)
    zero = call("GET", "/balance")
    assert zero["exists"] is False
    assert zero["available"] == 0
    grant = call(
        "POST",
        "/grants",
        {
            "amount": 1_000,
            "source": "purchase",
            "external_ref": f"pay-{account}",
            "reason": "pack",
            "paid": {"amount": "9.99", "currency": "EUR"},
            "metadata": {"k": 1},
        },
        201,
    )
    taken = call("POST", "/grants", {"amount": 1_000, "source": "purchase", "external_ref": f"pay-{account}"}, 409)
    assert (taken["code"], taken["field"]) == ("exists", "external_ref")
    later = call(
        "POST", "/grants", {"amount": 5, "source": "plan", "effective_at": "2998-01-01T00:00:00Z", "priority": 1}, 201
    )
    assert (grant["status"], later["status"]) == ("live", "scheduled")
    held = call("POST", "/reservations", {"amount": 300, "ttl_seconds": 60, "reason": "a cat"}, 201)["reservation_id"]
    longer = call("POST", f"/reservations/{held}/extend", {"ttl_seconds": 3_600, "grow": 100})
    assert longer["grown"] == 100
    part = call("POST", f"/reservations/{held}/capture", {"amount": 50, "final": False})
    assert (part["amount"], part["returned"], part["final"]) == (50, 0, False)
    exceeds = call("POST", f"/reservations/{held}/capture", {"amount": 351}, 422)
    assert (exceeds["code"], exceeds["amount"], exceeds["left"]) == ("exceeds_hold", 351, 350)
    rest = call("POST", f"/reservations/{held}/capture", {"amount": 150})
    assert (rest["amount"], rest["returned"], rest["final"]) == (150, 200, True)
    ended = call("POST", f"/reservations/{held}/release", {}, 409)
    assert (ended["code"], ended["outcome"]) == ("reservation_ended", "captured")
    other = call("POST", "/reservations", {"amount": 10, "id": f"job-{account}"}, 201)["reservation_id"]
    assert call("POST", f"/reservations/{other}/release", {"reason": "failed"})["returned"] == 10
    debit = call("POST", "/debits", {"amount": 100, "metadata": {"m": "x"}}, 201)["debit_id"]
    assert call("POST", f"/debits/{debit}/refunds", {"amount": 30, "reason": "half"}, 201)["amount"] == 30
    assert call("POST", f"/debits/{debit}/refunds", {}, 201)["amount"] == 70
    assert call("POST", f"/debits/{debit}/refunds", {}, 409)["code"] == "exceeds_debit"
    friend = address()
    assert call("POST", "/transfers", {"to": friend, "amount": 25, "reason": "gift"}, 201)["to"] == friend
    assert call("POST", "/transfers", {"to": "user:x:tokens", "amount": 25}, 422)["code"] == "invalid_transfer"
    assert call("POST", f"/grants/{later['grant_id']}/void", {})["voided"] == 5
    last = call("POST", f"/grants/{grant['grant_id']}/void", {"reason": "chargeback"})
    assert last["voided"] == 775
    now = call("GET", "/balance")
    assert (now["available"], now["debited"], now["refunded"], now["transferred_out"]) == (0, 300, 100, 25)
    assert balanced(now)
    service.project()
    _read_everything(call, service, account, last["position"], held, debit)


def _read_everything(call: Caller, service: Service, account: str, position: str, held: str, debit: str) -> None:
    """What the read models say afterwards."""
    grants = call("GET", "/grants", min_position=position)["items"]
    assert {row["status"] for row in grants} == {"voided"}
    bought = next(row for row in grants if row["source"] == "purchase")
    assert (bought["reason"], bought["metadata"], bought["paid"]) == (
        "pack",
        {"k": 1},
        {"amount": "9.99", "currency": "EUR"},
    )
    hold = call("GET", f"/reservations/{held}")
    assert (hold["status"], hold["captured"], hold["returned"], hold["left"], hold["reason"]) == (
        "captured",
        200,
        200,
        0,
        "a cat",
    )
    assert [row["status"] for row in call("GET", "/reservations")["items"]] == ["released", "captured"]
    assert len(call("GET", "/reservations", status="released")["items"]) == 1
    charge = call("GET", f"/debits/{debit}")
    assert (charge["amount"], charge["refunded"], charge["metadata"]) == (100, 100, {"m": "x"})
    history = call("GET", "/transactions", limit=200)["items"]
    assert [row["position"] for row in history] == sorted((row["position"] for row in history), reverse=True)
    assert history[0]["balance_after"] == 0
    balance = 0
    for row in reversed(history):
        balance += row["amount"]
        assert row["balance_after"] == balance
    assert {row["actor"] for row in history} == {"org_admin:boss"}
    row = next(row for row in call("GET", "/api/v1/accounts", prefix=account)["items"])
    assert (row["address"], row["debited"], row["position"]) == (account, 300, position)
    assert balanced(row)


def test_things_that_are_not_there(service: Service, document: dict[str, Any]) -> None:
    call = Caller(service.client(), document, address())
    for method, path in (
        ("GET", "/reservations/none"),
        ("GET", "/debits/none"),
        ("POST", "/reservations/none/capture"),
        ("POST", "/reservations/none/extend"),
        ("POST", "/debits/none/refunds"),
        ("POST", "/grants/none/void"),
        ("GET", "/api/v1/events/9999999999999999"),
        ("DELETE", "/api/v1/api-keys/none"),
    ):
        body = {"ttl_seconds": 5} if path.endswith("extend") else {} if method == "POST" else None
        assert call(method, path, body, 404)["code"] == "not_found"


def test_too_few_credits_in_the_words_of_s4(service: Service, document: dict[str, Any]) -> None:
    """S4-3."""
    call = Caller(service.client(sub="poor"), document, "user:poor:credits")
    call("POST", "/grants", {"amount": 500, "source": "gift"}, 201)
    priced = {"action": "reserve", "model": "MiniMax-Hailuo-02", "options": {"resolution": "1080P", "duration": 6}}
    for path, body in (
        ("/reservations", {"amount": 1_100}),
        ("/debits", {"amount": 1_100}),
        ("/api/credits/me", priced),
    ):
        problem = call("POST", path, body, 402)
        assert (
            problem["detail"]
            == "Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short."
        )
        assert (problem["required"], problem["available"], problem["deficit"]) == (1_100, 500, 600)
        assert (problem["code"], problem["title"]) == ("insufficient_credits", "Payment Required")
    assert call("POST", "/reservations", {"amount": 500}, 201)["amount"] == 500  # exactly enough passes


def test_validate_reserve_generate_confirm_or_roll_back(service: Service, document: dict[str, Any]) -> None:
    """S4-1, S4-4."""
    Caller(service.client(), document, "user:eve:credits")("POST", "/grants", {"amount": 5_000, "source": "gift"}, 201)
    call = Caller(service.client("user", "eve"), document, "user:eve:credits")
    me = "/api/credits/me"
    body = {
        "action": "reserve",
        "model": "MiniMax-Hailuo-02",
        "options": {"resolution": "1080P", "duration": 6},
        "reason": "a film",
        "metadata": {"page": "video"},
    }
    held = call("POST", me, body)
    assert (held["amount"], held["item"], held["price_version"]) == (1_100, "MiniMax-Hailuo-02 1080P 6s", 1)
    assert call("GET", "/api/auth/me")["credits"] == {"available": 3_900, "reserved": 1_100}
    confirmed = call("POST", me, {"action": "confirm", "transaction_id": held["transaction_id"]})
    assert (confirmed["transaction_id"], confirmed["amount"]) == (held["transaction_id"], 1_100)
    plain = call("POST", me, {"action": "reserve", "amount": 900})
    assert call("POST", me, {"action": "rollback", "transaction_id": plain["transaction_id"]})["returned"] == 900
    again = call("POST", me, {"action": "rollback", "transaction_id": plain["transaction_id"]}, 409)
    assert again["outcome"] == "released"
    assert call("GET", "/api/auth/me")["credits"] == {"available": 3_900, "reserved": 0}
    service.project()
    history = call("GET", "/transactions")["items"]
    assert [row["generation_id"] for row in history if row["type"] == "captured"] == [held["transaction_id"]]
    assert call("GET", f"/api/v1/generations/{held['transaction_id']}")["reason"] == "a film"
    unpriced = call("POST", me, {**body, "options": {"resolution": "1080P", "duration": 10}}, 422)
    assert unpriced["code"] == "unpriced"
    assert "MiniMax-Hailuo-02 1080P 6s" in unpriced["priced"]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "reserve"},
        {"action": "reserve", "amount": 1, "model": "S2V-01"},
        {"action": "reserve", "amount": 1, "options": {"duration": 6}},
        {"action": "reserve", "options": {"duration": 6}},
        {"action": "reserve", "amount": 1, "transaction_id": "t"},
        {"action": "confirm"},
        {"action": "confirm", "transaction_id": "t", "amount": 1},
        {"action": "grant", "amount": 1},
        {"action": "reserve", "model": "S2V-01", "options": {"count": 1.5}},
        {"action": "reserve", "model": "S2V-01", "options": {"count": 100_001}},
        {"action": "reserve", "model": "S2V-01", "options": {"a": [1]}},
    ],
)
def test_what_me_does_not_take(service: Service, body: dict[str, Any]) -> None:
    """S4-4."""
    answer = service.client("user", "eve2").post("/api/credits/me", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value"), answer.text


def test_nobody_settles_the_hold_of_another(service: Service, document: dict[str, Any]) -> None:
    owner = Caller(service.client(), document, "user:rich:credits")
    owner("POST", "/grants", {"amount": 50, "source": "gift"}, 201)
    held = owner("POST", "/reservations", {"amount": 50}, 201)["reservation_id"]
    thief = service.client("user", "thief")
    for action in ("confirm", "rollback"):
        answer = thief.post("/api/credits/me", json={"action": action, "transaction_id": held})
        assert answer.status_code in {404, 409}
    assert owner("GET", "/balance")["reserved"] == 50


def test_a_debit_is_refunded_to_its_own_account_only(service: Service, document: dict[str, Any]) -> None:
    owner, other = (Caller(service.client(), document, address()) for _ in range(2))
    owner("POST", "/grants", {"amount": 50, "source": "gift"}, 201)
    debit = owner("POST", "/debits", {"amount": 50}, 201)["debit_id"]
    assert other("POST", f"/debits/{debit}/refunds", {}, 404)["code"] == "not_found"
    assert other("GET", "/balance")["refunded"] == 0


def test_freezing_and_the_credit_limit(service: Service, document: dict[str, Any]) -> None:
    client, account = service.client(), address()
    call = Caller(client, document, account)
    assert call("PATCH", "", {"credit_limit": 100})["credit_limit"] == 100
    call("POST", "/debits", {"amount": 60}, 201)
    debt = call("GET", "/balance")
    assert (debt["available"], debt["overdrawn"], debt["shortfall"], debt["exists"]) == (-60, 60, 0, True)
    tag = client.get(call.path + "/balance").headers["etag"]
    assert client.patch(call.path, json={"frozen": True}, headers={"If-Match": tag}).status_code == 200
    stale = client.patch(call.path, json={"frozen": False}, headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    assert call("POST", "/debits", {"amount": 1}, 409)["code"] == "account_frozen"
    call("POST", "/grants", {"amount": 100, "source": "gift"}, 201)
    paid = call("GET", "/balance")
    assert (paid["available"], paid["overdrawn"], paid["frozen"]) == (40, 0, True)
    assert call("PATCH", "", {"frozen": False, "closed": True})["closed"] is True
    assert call("POST", "/debits", {"amount": 1}, 409)["code"] == "account_closed"
    assert call("PATCH", "", {}, 422)["code"] == "invalid_value"


def test_a_balance_at_another_time(service: Service, document: dict[str, Any]) -> None:
    call = Caller(service.client(), document, address())
    call("POST", "/grants", {"amount": 100, "source": "gift", "expires_at": "2900-01-01T00:00:00Z"}, 201)
    call("POST", "/grants", {"amount": 7, "source": "plan", "effective_at": "2800-01-01T00:00:00Z"}, 201)
    before = call("GET", "/balance")
    call("POST", "/debits", {"amount": 40}, 201)
    call("POST", "/reservations", {"amount": 10}, 201)

    def available(**when: Any) -> int:
        balance = call("GET", "/balance", **when)
        assert balanced(balance)
        return int(balance["available"])

    assert available(effective_at="2001-01-01T00:00:00Z") == 0
    assert available(known_at=before["as_of"]) == available(effective_at=before["as_of"]) == 100
    assert available(effective_at="2700-01-01T00:00:00Z") == 60  # the hold has expired
    assert available(effective_at="2850-01-01T00:00:00Z") == 67  # and the plan's grant begun
    assert available(effective_at="2950-01-01T00:00:00Z") == 7  # and the gift ended
    assert available(effective_at="2850-01-01T00:00:00Z", known_at=before["as_of"]) == 107
    assert call("GET", "/balance", effective_at="2950-01-01T00:00:00+00:00")["expired"] == 60


def test_holds_and_grants_end_by_themselves(service: Service, document: dict[str, Any]) -> None:
    call = Caller(service.client(), document, address())
    call("POST", "/grants", {"amount": 100, "source": "trial", "expires_at": "2990-01-01T00:00:00Z"}, 201)
    held = call("POST", "/reservations", {"amount": 30, "ttl_seconds": 60}, 201)["reservation_id"]
    move_clock(service.database, "61 seconds")
    assert call("GET", "/balance")["reserved"] == 0
    late = call("POST", f"/reservations/{held}/capture", {}, 409)
    assert (late["code"], late["outcome"]) == ("reservation_ended", "expired")


def test_statements(service: Service, document: dict[str, Any]) -> None:
    """S4-5."""
    client = service.client()
    call = Caller(client, document, address())
    call("POST", "/grants", {"amount": 100, "source": "gift", "reason": "=HYPERLINK(1)"}, 201)
    middle = call("GET", "/balance")["as_of"]
    call("POST", "/debits", {"amount": 30, "reason": "für \u4e2d"}, 201)
    service.project()
    whole = call("GET", "/statement")
    assert (whole["opening"], whole["closing"], len(whole["movements"])) == (0, 70, 2)
    second = call("GET", "/statement", **{"from": middle})
    assert (second["opening"], second["closing"], [row["amount"] for row in second["movements"]]) == (100, 70, [-30])
    first = call("GET", "/statement", to=middle)
    assert (first["opening"], first["closing"]) == (0, 100)
    assert [row["amount"] for row in call("GET", "/transactions", **{"from": middle})["items"]] == [-30]
    # Both files end at one time: without it, each would end in the second in which it was asked for.
    as_csv = {"format": "csv", "to": whole["to"]}
    answer = client.get(call.path + "/statement", params=as_csv)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["type"] for row in rows] == ["opening", "granted", "debited", "closing"]
    assert [row["balance_after"] for row in rows] == ["0", "100", "70", "70"]
    assert [row["reason"] for row in rows[1:3]] == ["'=HYPERLINK(1)", "für \u4e2d"]
    for_excel = client.get(call.path + "/statement", params={**as_csv, "bom": True})
    assert for_excel.content == b"\xef\xbb\xbf" + answer.content
    pdf = client.get(call.path + "/statement", params={"format": "pdf"})
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")


REASONS = {
    "Japanese": "映像制作チームの返金",
    "Chinese": "图像生成退款 圖像",
    "Korean": "영상 제작 환불",
    "Arabic": "استرداد الرصيد",
    "Hebrew": "החזר אשראי",
    "Hindi": "क्रेडिट की वापसी",
    "Bengali": "ফেরত",
    "Tamil": "திருப்பி",
    "Thai": "คืนเครดิต",
    "Russian": "Возврат",
    "Greek": "Επιστροφή",
    "Vietnamese": "Hoàn tiền",
    "Latin": "Rückerstattung für José",
    "emoji": "🎬👍",
}


def test_a_statement_shows_every_script(service: Service, document: dict[str, Any]) -> None:
    """S4-5: in the PDF each letter has its shape, and can be searched and copied."""
    client = service.client()
    call = Caller(client, document, address())
    for reason in (*REASONS.values(), "no font has \U00012000", "long " * 40):
        call("POST", "/grants", {"amount": 1, "source": "gift", "reason": reason}, 201)
    service.project()
    answer = client.get(call.path + "/statement", params={"format": "pdf"})
    pages = pypdf.PdfReader(io.BytesIO(answer.content)).pages
    lines = "\n".join(page.extract_text() for page in pages).splitlines()
    for script, reason in REASONS.items():
        # What is written from right to left comes in the order in which it is set, and joined letters in their own.
        assert any(set(reason) <= set(line) for line in lines), script
    assert not any("?" in line for line in lines)
    assert any("no font has \N{REPLACEMENT CHARACTER}" in line for line in lines)
    assert any("long long" in line and "…" in line for line in lines)
    assert len(answer.content) < 200_000  # only the letters that are shown


def test_pages(service: Service, document: dict[str, Any]) -> None:
    call = Caller(service.client(), document, address())
    call("POST", "/grants", {"amount": 100, "source": "gift"}, 201)
    for _ in range(7):
        call("POST", "/reservations", {"amount": 1}, 201)
    service.project()
    for path, expected in (("/transactions", 8), ("/reservations", 7), ("/grants", 1), ("/api/v1/events", None)):
        seen, cursor, pages = [], None, 0
        while True:
            more: dict[str, Any] = {"cursor": cursor} if cursor else {}
            page = call("GET", path, limit=3, **more)
            seen += [
                row.get("id") or row.get("reservation_id") or row.get("grant_id") or row["position"]
                for row in page["items"]
            ]
            cursor, pages = page["next_cursor"], pages + 1
            if cursor is None:
                break
        assert len(seen) == len(set(seen))
        assert expected is None or (len(seen), pages) == (expected, -(-expected // 3))
    cursor = call("GET", "/transactions", limit=3)["next_cursor"]
    assert call("GET", "/reservations", expect=422, cursor=cursor)["code"] == "invalid_cursor"


def test_events(service: Service, document: dict[str, Any]) -> None:
    account = address()
    call = Caller(service.client("auditor", "aud"), document, account)
    manage = Caller(service.client(), document, account)
    first = manage("POST", "/grants", {"amount": 9, "source": "gift", "reason": "canary-text"}, 201)["position"]
    second = manage("POST", "/debits", {"amount": 1}, 201)["position"]
    stream = f"account/{account}"
    found = call("GET", "/api/v1/events", stream=stream)["items"]
    assert [event["type"] for event in found] == ["credits-granted.v1", "credits-debited.v1"]
    assert [event["position"] for event in found] == [first, second]
    assert "canary-text" not in str(found)
    assert call("GET", f"/api/v1/events/{first}") == found[0]
    assert [event["position"] for event in call("GET", "/api/v1/events", stream=stream, after=first)["items"]] == [
        second
    ]
    assert [
        event["position"] for event in call("GET", "/api/v1/events", type="credits-debited.v1", after=first)["items"]
    ] == [second]
    assert call("GET", "/api/v1/events", actor="nobody")["items"] == []
    at = found[1]["time"]
    assert [event["position"] for event in call("GET", "/api/v1/events", stream=stream, **{"from": at})["items"]] == [
        second
    ]
    assert [event["position"] for event in call("GET", "/api/v1/events", stream=stream, to=at)["items"]] == [first]


def test_reading_ones_own_writes(service: Service, document: dict[str, Any]) -> None:
    """S4-4."""
    call = Caller(service.client(), document, address())
    position = call("POST", "/grants", {"amount": 9, "source": "gift"}, 201)["position"]
    answer = service.client().get(call.path + "/transactions", params={"min_position": position})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_yet_visible")
    assert answer.headers["retry-after"]
    service.project()
    assert len(call("GET", "/transactions", min_position=position)["items"]) == 1
