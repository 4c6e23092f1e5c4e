"""A user's own storage limit (S0)."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.answers import Answer
from api.fields import Body
from api.http.caller import Call
from api.http.command import command
from api.http.policy import May
from api.streams_room import Begins
from domain.storage.events import StorageLimitSet
from domain.storage.set_limit import MAX_LIMIT, SetStorageLimit
from domain.storage.state import PREFIX
from infra.position import format_position
from infra.writer.submission import Outcome


class LimitBody(Body):
    """`bytes`: 0 blocks; null for the plan's limit, or else the deployment's."""

    bytes: Annotated[int, Field(ge=0, le=MAX_LIMIT)] | None


class LimitAnswer(BaseModel):
    """The user's own limit as it is now."""

    user_id: str
    limit: int | None
    position: str


def _is_set(outcome: Outcome) -> Answer:
    ((stream, changed),) = outcome.all(StorageLimitSet)
    return {
        "user_id": stream.removeprefix(PREFIX),
        "limit": changed.limit,
        "position": format_position(outcome.position),
    }


@command(
    "PUT /api/v1/users/{id}/storage-limit",
    May.SET_STORAGE,
    LimitAnswer,
    answer=_is_set,
    begins=lambda call, _body: Begins("storage", call.id),
)
def set_storage_limit(call: Call, body: LimitBody, _sealed: str | None) -> Any:
    """Give a user a storage limit of their own."""
    return SetStorageLimit(user=call.id, limit=body.bytes)
