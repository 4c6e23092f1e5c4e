"""Forms have a size, and so has what is read of them, before anybody is known and after."""

import httpx
import pytest

from tests.api.service import Service
from tests.console.conftest import Visitor, csrf_of

MB = 1_000_000


def test_the_sign_in_reads_little(site: Service) -> None:
    with httpx.Client(base_url=site.url, timeout=20) as nobody:
        csrf = csrf_of(nobody.get("/login").text)
        form = {"csrf": csrf, "org": "acme", "sub": "u_1", "role": "user", "next": "/"}
        for path in ("/login", "/logout"):
            answer = nobody.post(path, data=form | {"more": "a" * 20_000})
            assert answer.status_code in ({413} if path == "/login" else {303})
        assert nobody.post("/login", data=form | {f"f{n}": "" for n in range(30)}).status_code == 400
        assert nobody.post("/login", data=form).status_code == 303


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_form_of_somebody_signed_in_has_a_limit(visitor: Visitor, files: bool, chunked: bool) -> None:
    client = visitor("org_admin", "boss")
    if files:
        made = client.build_request("POST", "/admin/groups/g/members/preview", files={"file": b"a" * 3 * MB})
    else:
        made = client.build_request("POST", "/admin/groups/g/members/preview", data={"names": "a" * 3 * MB})
    body = made.read()
    headers = {"Content-Type": made.headers["content-type"]}
    content = (body[at : at + 100_000] for at in range(0, len(body), 100_000)) if chunked else body
    answer = client.post("/admin/groups/g/members/preview", content=content, headers=headers)
    assert answer.status_code == 413
    assert "2,097,152" in answer.text


def test_a_form_has_one_file(visitor: Visitor) -> None:
    client = visitor("org_admin", "boss")
    files = [("file", ("a", b"a")), ("file", ("b", b"b"))]
    assert client.post("/admin/groups/g/members/preview", files=files).status_code == 400
