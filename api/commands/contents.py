"""Delete what was generated, which frees its bytes (S0)."""

from typing import Any

from pydantic import BaseModel

from api.answers import Answer
from api.commands.generations import NoBody
from api.http.caller import Call
from api.http.command import command
from api.http.policy import May
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


def _deleted(outcome: Outcome) -> Answer:
    event = outcome.one(ContentDeleted)
    return {"content_id": event.content_id, "freed": event.bytes, "position": format_position(outcome.position)}


@command("DELETE /api/v1/contents/{id}", May.CREATE_GENERATIONS, DeleteAnswer, answer=_deleted, look=of_content)
def delete_content(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    """Delete a stored generation."""
    return DeleteContent(user=call.found.owner or call.principal.sub, content_id=call.id)
