"""Strict JSON for requests: what the shared reader refuses becomes a problem of status 400."""

from typing import Any

from api.problems import Problem
from infra import strict_json as shared
from infra.strict_json import MAX_DEPTH, UnacceptableJson

__all__ = ["MAX_DEPTH", "strict_json"]


def strict_json(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read a body. Raises Problem (400)."""
    try:
        return shared.strict_json(raw, max_depth)
    except UnacceptableJson as error:
        raise Problem(400, error.code, str(error), field=error.field, limit=error.limit) from None
