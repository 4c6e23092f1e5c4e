"""The short way to a route answers as FastAPI's way does."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.app import Front
from api.routing import ReadRoute
from tests.api.service import Service

NO_SUCH_THING = "/nothing"


def reads(service: Service) -> list[ReadRoute]:
    routes = [route for route in service.app.router.routes if isinstance(route, ReadRoute)]
    return [route for route in routes if "GET" in (route.methods or ())]


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
    """With one, even if it only names the caller's own organisation, a request passes FastAPI."""
    service.project()
    client = service.client("admin", org="acme")
    short = [route for route in reads(service) if route.short is not None]
    assert len(short) > 40
    for route in short:
        path = route.path_format.format(**dict.fromkeys(route.param_convertors, "user:nobody:credits"))
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
def test_the_first_route_that_matches_answers(first: str, second: str) -> None:
    taken: list[str] = []

    async def endpoint() -> None:
        """Never called: what is not ours is for the rest."""

    async def rest(scope: Scope, _receive: Receive, _send: Send) -> None:
        taken.append(scope["path"])

    front = Front(rest, [APIRoute(path, endpoint, methods=["GET"]) for path in (first, second)])
    asyncio.run(front({"type": "http", "method": "GET", "path": "/a/b", "query_string": b""}, _never, _never))
    assert taken == ["/a/b"]
    assert front._fixed["GET", "/a/b"].path == first


async def _never(*_: Any) -> Any:
    raise AssertionError("nothing is to be read or sent")
