"""Fields of bodies and answers for the settings that resources declare (domain/settings/setting.py)."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, create_model

from api.fields import Body
from domain.resources.table import RESOURCES
from domain.settings.change import Given
from domain.settings.setting import Owner, Setting, Values

Model = TypeVar("Model", bound=BaseModel)


def value_of(setting: Setting) -> Any:
    """The type of a setting's value in a body: a number in its range, or null for none."""
    return Annotated[int | None, Field(ge=setting.least, le=setting.most, description=setting.about)]


def with_settings(on: Owner) -> Callable[[type[Model]], type[Model]]:
    """Add a field for each setting of such owners to a body or an answer."""

    def with_fields(model: type[Model]) -> type[Model]:
        fields: dict[str, Any] = {name: (value_of(each), None) for name, each in RESOURCES.settings[on].items()}
        if not fields:
            return model
        more = create_model(model.__name__, __base__=model, __module__=model.__module__, **fields)
        more.__doc__ = model.__doc__
        return more

    return with_fields


def given_settings(body: Body, on: Owner) -> Given:
    """The settings that a body names; null removes one."""
    return {name: getattr(body, name) for name in RESOURCES.settings[on] if name in body.model_fields_set}


def shown_settings(values: Values, on: Owner) -> dict[str, int | None]:
    """All settings that such owners may have, with the values of one of them."""
    return {name: values.get(name) for name in RESOURCES.settings[on]}
