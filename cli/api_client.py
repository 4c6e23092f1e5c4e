"""A small client of Scrip's own HTTP API, for the operators' commands and the demo."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from cli.failure import Failure

TIMEOUT_S = 60.0


class Refused(Failure):
    """The service has answered, but not as was hoped; `status` is that of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


PAGE = 200


def in_path(part: str) -> str:
    """An id or address as one segment of a path."""
    return quote(part, safe="")


class Api:
    """Calls as one principal, for one organisation; every answer that is not a success is raised as a Failure."""

    def __init__(self, url: str, token: str, org: str | None) -> None:
        """`url` without a path, for example http://127.0.0.1:8080. `org` None: the token's own organisation."""
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} | ({"Scrip-Organisation": org} if org is not None else {}),
            timeout=TIMEOUT_S,
            trust_env=False,  # a proxy for the outside has no business between us and our own service
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **parameters: str | int | None) -> Any:
        """The JSON answer of a GET; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._answer("GET", path, params=given)

    def get_within(self, path: str, wait_s: float) -> Any:
        """The same for what takes the service long: its answer within `wait_s` seconds."""
        return self._answer("GET", path, timeout=wait_s)

    def post(self, path: str, body: Any, *, key: str | None = None) -> Any:
        """The JSON answer of a POST, under an idempotency key where one is given."""
        return self._answer("POST", path, json=body, headers={"Idempotency-Key": key} if key else None)

    def pages(self, path: str, limit: int | None = None, **parameters: str | int | None) -> Iterator[Any]:
        """The items of a list, page after page, at most `limit` of them."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            page = self.get(path, limit=min(PAGE, left or PAGE), cursor=cursor, **parameters)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def _answer(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise Failure(f"{self.url} does not answer: {error or type(error).__name__}.") from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise Refused(answer.status_code, problem_of(answer))


def problem_of(answer: httpx.Response) -> str:
    """What an unsuccessful answer says, in one sentence with its code."""
    try:
        problem = answer.json()
        said = problem.get("detail") or problem.get("title") or ""
        code = problem.get("code", "")
    except (ValueError, AttributeError):
        said, code = " ".join(answer.text.split())[:200], ""
    return f"{answer.status_code}{f' {code}' if code else ''}: {said or answer.reason_phrase}"
