"""What the service needs to know of a call that becomes a command; every one of them is declared in api/commands/."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter

from api.answers import Answer, answer
from api.fields import MAX_BODY, Body
from api.services import Services
from api.streams_room import Begins
from domain.credits.address import Address, parse_address
from domain.credits.events import Slice
from domain.generations.request import DEFAULTS, Defaults
from infra.security.principal import Principal
from infra.writer.submission import Outcome


class Found(NamedTuple):
    """What was looked up for a call: the user whose thing it is about, the operation that a model is priced for, the
    state that its `If-Match` names, and the terms of the grant that it is about.
    """

    owner: str | None = None
    operation: str | None = None
    expected: Any = None
    grant: Slice | None = None


NOTHING = Found()
PERSONAL = ("prompt", "reason", "metadata", "error_message")  # fields of bodies that are stored sealed


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, for which organisation, with which parts of the path and which `If-Match` header (none for none).

    `defaults`: what the deployment assumes where nothing is priced or limited.
    """

    principal: Principal
    org: str
    params: dict[str, str]
    if_match: str | None = None
    defaults: Defaults = DEFAULTS
    found: Found = NOTHING

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

    `build` makes the command from the call, its body and the sealed form of the body's `private` fields; where there
    are `texts`, each sealed by itself, from their sealed forms by name. `account` says whose key seals them. `name` is
    the operation's line in the policy. `org` overrides the caller's organisation.

    `check` raises Problem for what call and body show only together. `look` finds out what must be known before the
    command can be built, and may raise Problem. `makes` is the id of a generation that the caller has chosen, with its
    user, for what follows in the same batch. `facts` are what a refusal tells, where it is not the decision's own.
    `refused` answers a refusal with `status`, for a call that asks whether something is allowed; none: a problem it is.
    `max_bytes`: of the body, where its items do not fit into the usual limit.
    `tell` takes the place of `answer` where the outcome alone does not say it all; it must tell a replay the same.
    """

    name: str
    path: str
    summary: str
    body: type[Body]
    answers: type[BaseModel]
    build: Callable[[Call, Any, Any], Any]
    answer: Callable[[Outcome], Answer] = answer
    status: int = 200
    method: str = "POST"
    account: Callable[[Call, Any], str] = lambda call, _body: call.address
    org: str | None = None
    check: Callable[[Call, Any], object] = lambda _call, _body: None
    look: Callable[[Services, Call, Any], Awaitable[Call]] | None = None
    makes: Callable[[Call, Any], tuple[str, str] | None] = lambda _call, _body: None
    texts: Callable[[Any], dict[str, dict[str, Any]]] | None = None
    facts: Callable[[Services, Call, Outcome], dict[str, Any]] | None = None
    refused: Callable[[Outcome], Answer | None] = lambda _outcome: None
    tell: Callable[[Services, Call, Any, Outcome], Awaitable[Answer]] | None = None
    max_bytes: int = MAX_BODY
    limited: Callable[[Any], bool] = lambda _body: False  # whether a body makes a generation: the rate limit counts it
    free: Callable[[Any], bool] = lambda _body: False  # whether it takes nothing from a user even where it is accepted
    begins: Callable[[Call, Any], Begins] | None = None  # what is there for ever afterwards, where it is new
    sized: bool = False  # its body says how much, and by default it is all that is left: a lost body would charge it

    @cached_property
    def private(self) -> tuple[str, ...]:
        """The personal fields of its bodies."""
        return tuple(name for name in PERSONAL if name in self.body.model_fields)

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The body's validator, made once."""
        return TypeAdapter(self.body)

    def owner(self, call: Call, body: Any) -> Address:
        """The account that the command is about, whose owner's key protects its text."""
        return parse_address(self.account(call, body))
