"""How calls that do not go through FastAPI stand in its OpenAPI document."""

from collections.abc import Callable
from inspect import Parameter, Signature, cleandoc
from typing import Any

from api.fields import MAX_BODY, Body

IDEMPOTENCY_KEY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key and request get the first answer again, refusals included.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
    ]
}
IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of an earlier answer; 412 where the thing has changed since.",
            "schema": {"type": "string"},
        }
    ]
}


def documented(name: str, path: str, body: type[Body], max_bytes: int = MAX_BODY) -> Callable[..., Any]:
    """A function with the signature that FastAPI documents: path parameters and body. It is never called.

    Its text is the body's, with `max_bytes` where that is not the usual limit.
    """

    async def endpoint(**_: Any) -> None:
        raise AssertionError(f"{name} does not go through FastAPI")

    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [Parameter(each, Parameter.KEYWORD_ONLY, annotation=str) for each in names]
    parameters.append(Parameter("body", Parameter.KEYWORD_ONLY, annotation=body))
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what FastAPI inspects
    limit = f"\n\nThe body has at most {max_bytes:,} bytes." if max_bytes != MAX_BODY else ""
    endpoint.__doc__ = cleandoc(body.__doc__ or "") + limit
    endpoint.__name__ = name
    return endpoint
