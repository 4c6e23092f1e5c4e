"""What generations have stored, and the limit of it."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from api.generations.answers import ContentRow
from api.generations.answers import StorageUse as StorageAnswer
from api.generations.commands import NoBody, of_content
from api.http.caller import Call, seen_user, user_of
from api.http.command import command
from api.http.database import Row
from api.http.endpoint import Answer, endpoint
from api.http.fields import Body, UserId
from api.http.limits import Begins
from api.http.lists import LAST, Page, page_of
from api.http.policy import May
from api.http.services import Services
from domain.storage.commands import MAX_LIMIT, DeleteContent, SetStorageLimit
from domain.storage.events import ContentDeleted, StorageLimitSet
from domain.storage.state import PREFIX, StorageNow, StorageUse
from domain.wording import bytes_share_text, bytes_text
from infra.position import format_position
from infra.writer.submission import Outcome


class DeleteAnswer(BaseModel):
    """`freed`: the bytes that count no longer."""

    content_id: str
    freed: int
    position: str


def _deleted(outcome: Outcome) -> Answer:
    event = outcome.one(ContentDeleted)
    return {"content_id": event.content_id, "freed": event.bytes}


@command("DELETE /api/v1/contents/{id}", May.CREATE_GENERATIONS, DeleteAnswer, answer=_deleted, look=of_content)
def delete_content(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    """Delete a stored generation."""
    return DeleteContent(user=call.found.owner or call.principal.sub, content_id=call.id)


MAX_OF_ONE = 500
_COLUMNS = "id, user_id, generation_id, bytes, sealed, created_at, created_position, position"
BY_SIZE = f"""
    select {_COLUMNS} from read.contents
    where org = %(org)s and user_id = %(user)s and deleted_at is null
      and (bytes < %(key)s or (bytes = %(key)s and id > %(id)s))
    order by bytes desc, id limit %(limit)s"""
BY_AGE = f"""
    select {_COLUMNS} from read.contents
    where org = %(org)s and user_id = %(user)s and deleted_at is null and (created_position, id) > (%(key)s, %(id)s)
    order by created_position, id limit %(limit)s"""
OF_ONE = f"""
    select {_COLUMNS} from read.contents
    where org = %(org)s and generation_id = %(id)s and deleted_at is null
    order by created_position, id limit {MAX_OF_ONE}"""


@endpoint("GET /api/v1/contents", May.READ_GENERATIONS, page_of(ContentRow))
async def list_contents(
    call: Call,
    page: Page,
    user_id: UserId = None,
    sort: Annotated[
        Literal["size", "age"], Query(description="The largest first, or the oldest: what to delete.")
    ] = "age",
) -> dict[str, Any]:
    """A user's stored generations."""
    user = user_of(call, user_id)
    query, column, start = (BY_SIZE, "bytes", LAST) if sort == "size" else (BY_AGE, "created_position", 0)
    pages = await page.of(call, "contents", user, sort)
    answer = pages.page(await pages.rows(query, {"key": start, "id": ""}, user=user), [column, "id"])
    answer["items"] = await call.services.threads.run(_shown, call.services, call.org, answer["items"])
    return answer


async def stored_of(call: Call, generation_id: str) -> list[dict[str, Any]]:
    """What one generation has stored and still has."""
    rows = await call.rows(OF_ONE, id=generation_id)
    return await call.services.threads.run(_shown, call.services, call.org, rows)


def _shown(services: Services, org: str, rows: list[Row]) -> list[dict[str, Any]]:
    return [_content(row, services.sealer.open(org, f"user:{row['user_id']}", row.pop("sealed"))) for row in rows]


def _content(row: Row, text: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "content_id": row["id"],
        "user_id": row["user_id"],
        "generation_id": row["generation_id"],
        "bytes": row["bytes"],
        "formatted": bytes_text(row["bytes"]),
        "url": (text or {}).get("url"),
        "created_at": row["created_at"],
        "position": format_position(row["position"]),
    }


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
    return {"user_id": stream.removeprefix(PREFIX), "limit": changed.limit}


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


@endpoint("GET /api/v1/storage/me", May.READ_GENERATIONS, StorageAnswer)
async def read_my_storage(call: Call, user_id: UserId = None) -> dict[str, Any]:
    """What is stored, and the limit."""
    user = seen_user(call, user_id) or call.principal.sub
    answered = await call.ask(StorageNow(user=user, default_limit=call.services.defaults.storage_limit))
    return {"user_id": user, **storage_answer(answered.value), "position": format_position(answered.position)}


def storage_answer(use: StorageUse) -> dict[str, Any]:
    """Bytes, and the same for people: `195 MB of 200 MB (97.5 %)`. What is held is apart from what is stored."""
    return {
        "used": use.used,
        "held": use.held,
        "limit": use.limit,
        "available": use.free,
        "percent": use.used * 1000 // use.limit / 10 if use.limit else 100.0,
        "formatted": bytes_share_text(use.used, use.limit),
    }
