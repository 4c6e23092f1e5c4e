"""From method and path to the endpoint."""

from typing import Any

import httpx
import pytest
from fastapi import Request

from api.app import ENDPOINTS
from api.http.endpoint import Endpoint, Routes, endpoint
from api.http.policy import May
from tests.api.service import Service

NO_SUCH_THING = "/nothing"


def reads() -> list[Endpoint]:
    """Those that need a login and answer as JSON whatever is asked for."""
    return [each for each in ENDPOINTS if type(each) is Endpoint and each.method == "GET" and not each.open]


def shape(value: Any) -> Any:
    """A JSON value without what may differ from one moment to the next."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value)


def told(answer: httpx.Response) -> Any:
    """What two answers to the same question have in common."""
    kind = answer.headers["content-type"]
    return answer.status_code, kind, shape(answer.json()) if kind.endswith("json") else None


def test_reads_answer_the_same_with_a_query_as_without(service: Service) -> None:
    service.project()
    client = service.client("admin", org="acme")
    assert len(reads()) > 40
    for one in reads():
        path = one.path_format.format(**dict.fromkeys(one.convertors, "user:nobody:credits"))
        plain = queried = None
        for _ in range(3):  # what is watched in the background may change between two answers
            plain, queried = told(client.get(path)), told(client.get(path, params={"org": "acme"}))
            if plain == queried:
                break
        assert plain == queried, path


def test_what_no_route_of_ours_answers_goes_on(service: Service) -> None:
    client = service.client("admin")
    assert client.get("/api/v1" + NO_SUCH_THING).status_code == 404
    assert client.delete("/api/v1/generations").status_code == 405
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(("first", "second"), [("/a/{id}", "/a/b"), ("/a/b", "/a/{id}")])
def test_a_fixed_path_goes_before_one_that_may_be_anything(first: str, second: str) -> None:
    async def read(_request: Request) -> None:
        """Never called."""

    routes = Routes(endpoint(f"GET {path}", May.ANYBODY, name=path)(read) for path in (first, second))
    found, params = routes.find("GET", "/a/b")
    assert found is not None
    assert (found.path, params) == ("/a/b", {})
    found, params = routes.find("GET", "/a/c")
    assert found is not None
    assert (found.path, params) == ("/a/{id}", {"id": "c"})
    assert routes.find("POST", "/a/b") == (None, {})
    assert routes.methods("/a/b") == ["GET", "HEAD"]
