"""How calls that do not go through FastAPI stand in its OpenAPI document."""

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from api.fields import Body

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


def documented(name: str, path: str, body: type[Body]) -> Callable[..., Any]:
    """A function with the signature that FastAPI documents: path parameters and body. It is never called."""

    async def endpoint(**_: Any) -> None:
        raise AssertionError(f"{name} does not go through FastAPI")

    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [Parameter(each, Parameter.KEYWORD_ONLY, annotation=str) for each in names]
    parameters.append(Parameter("body", Parameter.KEYWORD_ONLY, annotation=body))
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what FastAPI inspects
    endpoint.__doc__ = body.__doc__
    endpoint.__name__ = name
    return endpoint
