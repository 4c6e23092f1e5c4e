"""The fake server's refusals, as the real one words them."""

from http import HTTPStatus
from typing import Any


class Refused(Exception):
    """An answer that is not a success. Those that the ledger decided are kept under their idempotency key."""

    def __init__(self, status: int, code: str, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {
            "type": f"urn:scrip:problem:{code}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "code": code,
            "detail": detail,
            **facts,
        }


def short_of(unit: str, required: int, available: int) -> Refused:
    """Too little of one thing."""
    numbers = {"required": required, "available": available, "deficit": required - available}
    return Refused(402, f"insufficient_{unit}", sentence(unit, required, available), **numbers)


def sentence(unit: str, required: int, available: int) -> str:
    """Why, for people."""
    return (
        f"Insufficient {unit}. You need {required} {unit} but only have {available}. "
        f"You're {required - available} {unit} short."
    )


def not_found(what: str, id_: str) -> Refused:
    """There is no such thing."""
    return Refused(404, "not_found", f"There is no {what} {id_}.")


def exists(field: str, value: str) -> Refused:
    """An id that was used before."""
    return Refused(409, "exists", f"{field} {value} is already used in this organisation.", field=field)


def invalid(field: str, reason: str, **facts: Any) -> Refused:
    """A value that cannot be right."""
    return Refused(422, "invalid_value", f"{field} {reason}.", field=field, **facts)
