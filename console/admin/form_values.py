"""What people type into forms of administration, as the API takes it."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData, UploadFile

from console.api import ApiProblem

MAX_FILE = 1_000_000  # bytes of a pasted or chosen file


def wrong(field: str, detail: str) -> ApiProblem:
    """A value that cannot even be sent, told as the API would tell it."""
    return ApiProblem(422, {"code": "invalid_value", "detail": detail, "field": field})


def text(form: FormData, name: str) -> str:
    """A line or more of text without space around it, empty where the field is missing."""
    return str(form.get(name, "")).strip()


def whole(form: FormData, name: str, label: str) -> int | None:
    """A whole number from 0, `1,000` and `1 000` too; none for an empty field. Raises ApiProblem (422)."""
    return whole_of(text(form, name), name, label)


def whole_of(given: str, name: str, label: str) -> int | None:
    """The same for a value that has been read already."""
    plain = given.replace(",", "").replace(" ", "").replace("_", "")
    if not plain:
        return None
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 15):
        raise wrong(name, f"{label}: “{given[:40]}” is not a whole number. Enter digits only, or leave it empty.")
    return int(plain)


def settings(form: FormData, declared: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """The declared settings that the form has, empty ones as None. Raises ApiProblem (422)."""
    return {each["name"]: whole(form, each["name"], each["label"]) for each in declared if each["name"] in form}


def typed_settings(form: FormData, declared: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The same as they were typed."""
    return {each["name"]: text(form, each["name"]) for each in declared if each["name"] in form}


def needed(value: Any, name: str, label: str) -> Any:
    """A value that must be given. Raises ApiProblem (422) for none and for an empty one."""
    if value in (None, ""):
        raise wrong(name, f"{label} is missing.")
    return value


def instant(form: FormData, name: str, label: str) -> str | None:
    """A time of a `local-time` field as RFC 3339: in the reader's zone where scripts run (`NAME_at`), else in UTC."""
    exact = text(form, f"{name}_at")
    given = exact or text(form, name)
    if not given:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise wrong(name, f"{label}: this is not a date with a time.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def money(form: FormData, name: str) -> str | None:
    """An amount in USD as the API writes it, `$` and thousands left out; none for an empty field."""
    return text(form, name).replace("$", "").replace(",", "").strip() or None


async def pasted(form: FormData, name: str, file: str) -> str:
    """What was pasted into `name`, and after it what the chosen `file` holds. Raises ApiProblem (422)."""
    given = text(form, name)
    upload = form.get(file)
    if isinstance(upload, UploadFile) and upload.filename:
        content = await upload.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise wrong(file, "The file is larger than 1 MB.")
        try:
            given = f"{given}\n{content.decode('utf-8-sig')}".strip()
        except UnicodeDecodeError:
            raise wrong(file, "The file is not UTF-8 text.") from None
    return given


def json_of(given: str, name: str, label: str) -> Any:
    """The JSON in a field; none for an empty one. Raises ApiProblem (422)."""
    if not given:
        return None
    try:
        return json.loads(given)
    except ValueError:
        raise wrong(name, f"{label}: this is not JSON.") from None


def in_path(id_: str) -> str:
    """An id as a part of a path."""
    return quote(id_, safe="")
