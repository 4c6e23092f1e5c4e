"""The API as the signed-in person sees it. Everything that the console knows or does passes here."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import httpx

from console.person import ADMIN, Person

Answer = Any  # JSON
DEADLINE_S = 30.0
ABSENT = 404


class ApiProblem(Exception):
    """What the API answered instead: RFC 9457, with a stable code and a sentence for people."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.body = dict(body)
        self.code = str(body.get("code", "unknown"))
        self.detail = str(body.get("detail") or body.get("title") or "Something went wrong.")
        self.field: str | None = body.get("field")
        super().__init__(f"{status} {self.code}: {self.detail}")


class Api:
    """Calls in the name of one person. Every method raises ApiProblem for an answer that is no success."""

    def __init__(self, client: httpx.AsyncClient, person: Person | None, token: str = "") -> None:
        """`token`: of a person who is not known yet."""
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if person is not None:
            self._headers["Authorization"] = f"Bearer {person.token}"
            if person.role == ADMIN and person.acting_for:
                self._headers["Scrip-Organisation"] = person.acting_for

    async def get(self, path: str, **params: Any) -> Answer:
        """The JSON at `path`; parameters that are None or empty are left out. A trailing `_` of a name is dropped."""
        return (await self._send("GET", path, params=_given(params))).json()

    async def get_or_none(self, path: str, **params: Any) -> Answer | None:
        """The same, None where there is no such thing."""
        try:
            return await self.get(path, **params)
        except ApiProblem as problem:
            if problem.status == ABSENT:
                return None
            raise

    async def settings(self, on: str) -> list[Answer]:
        """The numbers that an `organisation`, `plan` or `group` may have, as the service declares them."""
        return [each for each in (await self.get("/api/v1/settings"))["items"] if each["on"] == on]

    async def together(self, *paths: str) -> list[Answer]:
        """Several reads side by side."""
        return list(await asyncio.gather(*(self.get(path) for path in paths)))

    async def file(self, path: str, **params: Any) -> httpx.Response:
        """An answer that is no JSON, a download for example."""
        return await self._send("GET", path, params=_given(params))

    async def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None) -> Answer:
        """`key`: the idempotency key of the form, so that a form sent twice acts once."""
        return (await self._send("POST", path, body=body, key=key or secrets.token_urlsafe(18))).json()

    async def put(self, path: str, body: Mapping[str, Any], *, etag: str | None = None) -> Answer:
        """Replace; with `etag` only what has not changed meanwhile (412 otherwise)."""
        return (await self._send("PUT", path, body=body, etag=etag)).json()

    async def patch(self, path: str, body: Mapping[str, Any], *, etag: str | None = None) -> Answer:
        """Change a part; with `etag` only what has not changed meanwhile (412 otherwise)."""
        return (await self._send("PATCH", path, body=body, etag=etag)).json()

    async def delete(self, path: str) -> Answer | None:
        """Delete what is at `path`; what the API says of it, none where it says nothing."""
        answer = await self._send("DELETE", path)
        return answer.json() if answer.content else None

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        etag: str | None = None,
    ) -> httpx.Response:
        headers = dict(self._headers)
        if key:
            headers["Idempotency-Key"] = key
        if etag:
            headers["If-Match"] = etag
        answer = await self._client.request(method, path, params=params, json=body, headers=headers)
        if not answer.is_success:
            raise ApiProblem(answer.status_code, _problem_of(answer))
        return answer


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_"): value for name, value in params.items() if value not in (None, "")}


def _problem_of(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
