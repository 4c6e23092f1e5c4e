"""Freeze or close an account, and say how far below zero it may go."""

import re
from typing import Any, Self

from pydantic import BaseModel, model_validator

from api.fields import Body, Count
from api.http.caller import Call
from api.http.command import command
from api.http.policy import May
from api.problems import invalid
from api.streams_room import Begins
from domain.credits.account import Account
from domain.credits.configure import ConfigureAccount

_TAG = re.compile(r'(?:W/)?"([01])([01])-([0-9]{1,13})"')


class ConfigureBody(Body):
    """What is not given stays as it is. `credit_limit`: credits below zero that a postpaid account may go."""

    frozen: bool | None = None
    closed: bool | None = None
    credit_limit: Count | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names nothing to change: frozen, closed or credit_limit")
        return self


class ConfigureAnswer(BaseModel):
    """The account's switches as they are now."""

    frozen: bool
    closed: bool
    credit_limit: int
    position: str


def settings_tag(account: Account) -> str:
    """The ETag of an account's switches, which is what PATCH changes."""
    return f'"{account.frozen:d}{account.closed:d}-{account.credit_limit}"'


def _expected(if_match: str | None) -> tuple[bool, bool, int] | None:
    """The switches that the caller has read, from `If-Match: "00-0"`."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise invalid("If-Match", "must be the ETag of an earlier answer")
    return found[1] == "1", found[2] == "1", int(found[3])


@command(
    "PATCH /api/v1/accounts/{address}",
    May.MANAGE_CREDITS,
    ConfigureAnswer,
    begins=lambda call, _body: Begins("account", call.address),
)
def configure_account(call: Call, body: ConfigureBody, _sealed: str | None) -> Any:
    """Freeze, close or open an account, or set its credit limit."""
    return ConfigureAccount(
        address=call.address,
        frozen=body.frozen,
        closed=body.closed,
        credit_limit=body.credit_limit,
        expected=_expected(call.if_match),
    )
