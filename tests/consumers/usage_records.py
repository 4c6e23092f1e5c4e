"""Usage records as workers would write them, in both CloudEvents modes."""

import json
from typing import Any

from consumers.intake.record import Record
from consumers.usage import COMPLETED, METERED, STARTED

SOURCE = "/workers/7"


def attributes(id_: str, type_: str = METERED, **changed: Any) -> dict[str, Any]:
    """The attributes of a good event; a changed one that is none is left out."""
    all_ = {"specversion": "1.0", "id": id_, "source": SOURCE, "type": type_, "scriporg": "acme"} | changed
    return {name: value for name, value in all_.items() if value is not None}


def structured(id_: str, data: Any, type_: str = METERED, **changed: Any) -> Record:
    """The event as one JSON object."""
    value = json.dumps(attributes(id_, type_, **changed) | {"data": data}).encode()
    return Record((("content-type", b"application/cloudevents+json; charset=utf-8"),), value, f"scrip.usage/0/{id_}")


def binary(id_: str, data: Any, type_: str = METERED, **changed: Any) -> Record:
    """The event's attributes as headers, its data as value."""
    headers = [(f"ce_{name}", str(value).encode()) for name, value in attributes(id_, type_, **changed).items()]
    return Record((("content-type", b"application/json"), *headers), json.dumps(data).encode(), f"scrip.usage/0/{id_}")


def raw(value: bytes | None, *headers: tuple[str, bytes], place: str = "scrip.usage/3/17") -> Record:
    """Any bytes at all."""
    return Record(headers, value, place)


def metered(id_: str, amount: int = 5, user: str = "u_1", **changed: Any) -> Record:
    """A charge to a user's credits."""
    return structured(id_, {"user_id": user, "amount": amount}, **changed)


def completed(id_: str, reservation: str, success: bool = True, **fields: Any) -> Record:
    """A worker's last word on a reservation."""
    return structured(id_, {"generation_id": reservation, "success": success, **fields}, COMPLETED)


def started(id_: str, reservation: str) -> Record:
    """A worker's first word on a reservation."""
    return structured(id_, {"generation_id": reservation}, STARTED)
