"""Delete what was generated, which frees its bytes (S0)."""

from typing import Any

from pydantic import BaseModel

from api.answers import Answer
from api.commands.generations import NoBody
from api.operation import Call, Operation
from api.owners import of_content
from domain.storage.delete import DeleteContent
from domain.storage.events import ContentDeleted
from infra.position import format_position
from infra.writer.submission import Outcome


class DeleteAnswer(BaseModel):
    """`freed`: the bytes that count no longer."""

    content_id: str
    freed: int
    position: str


def _delete(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    return DeleteContent(user=call.found.owner or call.principal.sub, content_id=call.id)


def _deleted(outcome: Outcome) -> Answer:
    event = outcome.one(ContentDeleted)
    return {"content_id": event.content_id, "freed": event.bytes, "position": format_position(outcome.position)}


DELETE_CONTENT = Operation(
    name="delete_content",
    path="/api/v1/contents/{id}",
    summary="Delete a stored generation",
    body=NoBody,
    answers=DeleteAnswer,
    build=_delete,
    answer=_deleted,
    method="DELETE",
    look=of_content,
)
