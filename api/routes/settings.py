"""What resources let their owners set, and what is set of it for users and models."""

from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.acting import own_only
from api.commands.settings import ModelSettingAnswer, UserSettingAnswer, must_be_a_model, path_of
from api.current import ask
from api.operation import Call
from api.reading import Json
from api.routing import ReadRoute, call_of
from api.services import Services
from domain.resources.table import RESOURCES
from domain.settings.change import SettingsNow
from domain.settings.setting import Owner, Setting
from infra.position import format_position

CallNow = Annotated[Call, Depends(call_of)]


class SettingRow(BaseModel):
    """A whole number from `least` to `most`, or null for none. `label` and `about` are for people."""

    name: str
    on: Owner
    label: str
    about: str
    least: int
    most: int


class SettingList(BaseModel):
    """All that may be set, by whose it is."""

    items: list[SettingRow]
    next_cursor: str | None


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_settings() -> Json:
        declared = (each for owner in RESOURCES.settings.values() for each in owner.values())
        items = [{name: getattr(each, name) for name in SettingRow.model_fields} for each in declared]
        return Json({"items": items, "next_cursor": None})

    return [
        ReadRoute("/api/v1/settings", list_settings, services, "What may be set, and whose it is", SettingList),
        *(_of_user(services, each) for each in RESOURCES.settings[Owner.USER].values()),
        *(_of_model(services, each) for each in RESOURCES.settings[Owner.MODEL].values()),
    ]


def _of_user(services: Services, setting: Setting) -> ReadRoute:
    async def read(id: str, call: CallNow) -> Json:  # noqa: A002 - the path's name
        own_only(call, id)
        return Json({"user_id": id, **await _now(services, call, setting, id)})

    return _route(services, setting, read, UserSettingAnswer)


def _of_model(services: Services, setting: Setting) -> ReadRoute:
    async def read(model: str, call: CallNow) -> Json:
        must_be_a_model(model)
        return Json({"model": model, **await _now(services, call, setting, model)})

    return _route(services, setting, read, ModelSettingAnswer)


def _route(services: Services, setting: Setting, read: Any, answers: type[BaseModel]) -> ReadRoute:
    what = setting.name.replace("_", " ")
    return ReadRoute(
        path_of(setting),
        read,
        services,
        f"The {what} of a {setting.on}",
        answers,
        operation=f"read_{setting.on}_{setting.name}",
    )


async def _now(services: Services, call: Call, setting: Setting, id_: str) -> dict[str, Any]:
    """As it is at this moment. Raises Problem (503)."""
    answered = await ask(services, call.org, SettingsNow(on=setting.on, id=id_))
    return {"limit": answered.value.get(setting.name), "position": format_position(answered.position)}
