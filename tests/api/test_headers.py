"""S1: XSS protection headers, on every answer whatever it is; and the request id that answers and logs share."""

import base64
import re
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest

from tests.api.service import Service, address, running, settings_of
from tests.conftest import Database

SECURE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
NOTHING_ALLOWED = "default-src 'none'; frame-ancestors 'none'"


def answers(service: Service) -> Iterator[httpx.Response]:
    """One of each kind: command, read, refusal, denial, problem of each layer, open page, preflight."""
    path = f"/api/v1/accounts/{address()}"
    boss, nobody, user = service.client(), service.client(None), service.client("user")
    yield boss.post(path + "/grants", json={"amount": 5, "source": "gift"})
    yield boss.get(path + "/balance")
    yield boss.post(path + "/debits", json={"amount": 9})  # 402
    yield boss.post(path + "/debits", json={"amount": 0})  # 422 from a command
    yield boss.get("/api/v1/accounts", params={"limit": 0})  # 422 from FastAPI
    yield boss.get(f"{path}/debits/none")  # 404
    yield user.get(path + "/balance")  # 403
    yield nobody.get(path + "/balance")  # 401
    yield nobody.get("/nowhere")
    yield nobody.delete("/livez")  # 405
    yield nobody.get("/livez")
    yield nobody.get("/metrics")
    yield nobody.get("/api/openapi.json")
    yield nobody.options("/api/v1/accounts")
    yield boss.get(path + "/statement", params={"format": "csv"})


def test_every_answer_has_the_security_headers(service: Service) -> None:
    """S1-6."""
    statuses = set()
    for answer in answers(service):
        statuses.add(answer.status_code)
        names = [name for name, _ in answer.headers.multi_items()]
        assert len(names) == len(set(names)), answer.url
        for name, value in SECURE.items():
            assert answer.headers[name] == value, (answer.url, name)
        assert answer.headers["content-security-policy"] == NOTHING_ALLOWED
        assert answer.headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in answer.headers  # it is not known to be reached by HTTPS
        assert "server" not in answer.headers
    assert statuses >= {200, 201, 401, 402, 403, 404, 405, 422}


def test_a_deployment_with_tls_says_so(database: Database) -> None:
    with running(database, settings_of(database, https=True)) as service:
        for path in ("/livez", "/api/auth/me", "/nowhere", "/api/docs"):
            answer = service.client(None).get(path)
            assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"


def test_the_document_for_people_has_what_it_needs_and_nothing_inline(service: Service) -> None:
    client = service.client(None)
    for _ in range(2):  # the page is made once: its headers must not pile up
        page = client.get("/api/docs")
        policy = page.headers["content-security-policy"]
        assert len([name for name, _ in page.headers.multi_items() if name == "content-security-policy"]) == 1
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "http:" not in policy + page.text
    assert "https:" not in policy + page.text
    files = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(files) == 2
    for file in files:
        answer = client.get(file)
        assert answer.status_code == 200, file
        assert answer.headers["content-type"].partition(";")[0] == ("text/css" if ".css" in file else "text/javascript")
        assert "immutable" in answer.headers["cache-control"]
    for missing in ("/api/docs/swagger-ui-dist-5.35.0/LICENSE", "/api/docs/x/swagger-ui.css", "/api/docs/../app.py"):
        assert client.get(missing).status_code == 404
    assert not re.search(r"\son\w+=|<style|\sstyle=", page.text)


@pytest.mark.parametrize("name", ["Request-Id", "X-Request-Id"])
def test_a_sane_request_id_is_kept(service: Service, name: str) -> None:
    answer = service.client(None).get("/livez", headers={name: "trace-1.a_B"})
    assert answer.headers["request-id"] == answer.headers["x-request-id"] == "trace-1.a_B"


@pytest.mark.parametrize("given", ["a b", "x" * 65, "", "é", "a;b", "a\tb", '{"a":1}'])
def test_any_other_request_id_is_replaced(service: Service, given: str) -> None:
    client = service.client(None)
    made = [client.get("/livez", headers={b"Request-Id": given.encode()}).headers["request-id"] for _ in range(2)]
    assert given not in made
    assert len(set(made)) == 2
    assert all(re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", each) for each in made)
