"""Requests and answers as httpx has them."""

import json
from typing import Any

import httpx

from scrip_client.steps import Answer, Lost, Request

# Nothing of a request that failed in one of these ways has reached the service.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def arguments(request: Request, headers: dict[str, str]) -> dict[str, Any]:
    """Keyword arguments for httpx's `request`."""
    if request.key is not None:
        headers = headers | {"Idempotency-Key": request.key}
    content = None
    if request.body is not None:
        # Money is text already; anything else that JSON cannot hold is the caller's mistake and said so.
        content = json.dumps(request.body, separators=(",", ":"), allow_nan=False).encode()
        headers = headers | {"Content-Type": "application/json"}
    params = dict(request.params) or None
    return {"method": request.method, "url": request.path, "content": content, "headers": headers, "params": params}


def answer_of(response: httpx.Response) -> Answer:
    """The answer; a body that is not JSON is None."""
    try:
        body = response.json() if response.content else None
    except ValueError:
        body = None
    waiting = response.headers.get("Retry-After", "")
    retry_after = float(waiting) if waiting.isdigit() else None
    return Answer(response.status_code, body, retry_after, response.headers.get("Idempotency-Replayed") == "true")


def lost(error: httpx.HTTPError) -> Lost:
    """A request without an answer."""
    return Lost(str(error) or type(error).__name__, sent=not isinstance(error, NEVER_SENT))
