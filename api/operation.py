"""What the service needs to know of a call that becomes a command; every one of them is declared in api/commands/."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter

from api.answers import Answer, answer
from api.fields import Body
from domain.credits.address import Address, parse_address
from infra.security.principal import Principal
from infra.writer.submission import Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, for which organisation, with which parts of the path and which `If-Match` header (none for none)."""

    principal: Principal
    org: str
    params: dict[str, str]
    if_match: str | None = None

    @property
    def address(self) -> str:
        """The account in the path."""
        return self.params["address"]

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.params["id"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A call that becomes one command.

    `build` makes the command from the call, its body and the sealed form of the body's `private` fields. `account`
    says whose key seals them. `name` is the operation's line in the policy. `org` overrides the caller's organisation.
    """

    name: str
    path: str
    summary: str
    body: type[Body]
    answers: type[BaseModel]
    build: Callable[[Call, Any, str | None], Any]
    answer: Callable[[Outcome], Answer] = answer
    status: int = 200
    method: str = "POST"
    private: tuple[str, ...] = ("reason", "metadata")
    account: Callable[[Call, Any], str] = lambda call, _body: call.address
    org: str | None = None

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The body's validator, made once."""
        return TypeAdapter(self.body)

    def owner(self, call: Call, body: Any) -> Address:
        """The account that the command is about, whose owner's key protects its text."""
        return parse_address(self.account(call, body))
