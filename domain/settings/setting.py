"""What a setting is, and where the settings of users and models are kept.

A resource declares its settings (`Resource.settings`). The fields of bodies, answers and events, the calls for users
and models and their lines in the policy follow from the declarations.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from domain.kernel.work import Work
from domain.untagged import Untagged

PREFIX = "settings/"
Values = dict[str, int]  # by the setting's name; what is not set is missing


class Owner(StrEnum):
    """Whose setting it is. A plan's is copied to the organisations that choose the plan."""

    ORGANISATION = "organisation"
    PLAN = "plan"
    GROUP = "group"
    USER = "user"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A number from `least` to `most` that an owner may have; None is: not set.

    `name`: as bodies, answers and events have it, so it never changes. `about`: for the API's documents.
    """

    name: str
    on: Owner
    about: str
    least: int = 0
    most: int = 10**12

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged(Untagged):
    """The settings of one user or model, all of them, as they are from now on."""

    settings: Values


class OwnSettings(NamedTuple):
    """The settings of one user or model."""

    values: Values = {}  # noqa: RUF012 - never changed in place


def evolve(_own: OwnSettings, event: SettingsChanged) -> OwnSettings:
    """Apply one event."""
    return OwnSettings(event.settings)


def known_as(on: Owner, id_: str) -> str:
    """The id under which settings are kept. Models differ by more than upper and lower case."""
    return id_.casefold() if on is Owner.MODEL else id_


def stream_of(on: Owner, id_: str) -> str:
    """The stream of a user's or a model's settings."""
    return f"{PREFIX}{on}/{known_as(on, id_)}"


def own_settings(work: Work, on: Owner, id_: str) -> Values:
    """The settings of a user or a model, as a decision sees them."""
    own: OwnSettings = work.state(stream_of(on, id_))
    return own.values


EVENTS: dict[str, type] = {  # by stored name, which never changes
    "settings-changed.v1": SettingsChanged,
}
