"""What resources let their owners set, and what is set of it for users and models."""

from typing import Any

from pydantic import BaseModel

from api.commands.settings import ModelSettingAnswer, UserSettingAnswer, must_be_a_model, path_of
from api.current import ask
from api.http.caller import Call, own_only
from api.http.endpoint import Endpoint, endpoint
from api.http.policy import May
from domain.resources.table import RESOURCES
from domain.settings.change import SettingsNow
from domain.settings.setting import Owner, Setting
from infra.position import format_position


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


@endpoint("GET /api/v1/settings", May.READ_GENERATIONS, SettingList)
async def list_settings(_call: Call) -> dict[str, Any]:
    """What may be set, and whose it is."""
    declared = (each for owner in RESOURCES.settings.values() for each in owner.values())
    items = [{name: getattr(each, name) for name in SettingRow.model_fields} for each in declared]
    return {"items": items, "next_cursor": None}


def _of_user(setting: Setting) -> Endpoint:
    async def read(call: Call, id: str) -> dict[str, Any]:
        own_only(call, id)
        return {"user_id": id, **await _now(call, setting, id)}

    return _read(setting, UserSettingAnswer, read)


def _of_model(setting: Setting) -> Endpoint:
    async def read(call: Call, model: str) -> dict[str, Any]:
        must_be_a_model(model)
        return {"model": model, **await _now(call, setting, model)}

    return _read(setting, ModelSettingAnswer, read)


def _read(setting: Setting, answers: type[BaseModel], handler: Any) -> Endpoint:
    summary = f"The {setting.name.replace('_', ' ')} of a {setting.on}"
    name = f"read_{setting.on}_{setting.name}"
    declare = endpoint(f"GET {path_of(setting)}", May.READ_GENERATIONS, answers, name=name, summary=summary)
    return declare(handler)


async def _now(call: Call, setting: Setting, id_: str) -> dict[str, Any]:
    """As it is at this moment. Raises Problem (503)."""
    answered = await ask(call.services, call.org, SettingsNow(on=setting.on, id=id_))
    return {"limit": answered.value.get(setting.name), "position": format_position(answered.position)}


READ_SETTINGS = (
    *(_of_user(each) for each in RESOURCES.settings[Owner.USER].values()),
    *(_of_model(each) for each in RESOURCES.settings[Owner.MODEL].values()),
)
