"""Change settings: what may be set, and how those of users and models are changed and read."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.kernel.domain import Answerer, Decider, Module, timeless
from domain.kernel.work import Work
from domain.organisations.refusals import InvalidSetting, NotCounted
from domain.quotas.counted import counted_of
from domain.resources.table import table
from domain.settings.setting import (
    EVENTS,
    PREFIX,
    Owner,
    OwnSettings,
    SettingsChanged,
    Values,
    evolve,
    own_settings,
    stream_of,
)

Given = Mapping[str, int | None]  # changes by name: None removes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSettings:
    """Change settings of the user or the model `id`; what `settings` does not name stays, None removes."""

    on: Owner
    id: str
    settings: Given


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsNow:
    """Ask for the settings of the user or the model `id`; the answer has those that are set, by name."""

    on: Owner
    id: str


def changed(work: Work, on: Owner, before: Values, given: Given) -> Values:
    """The settings of an owner after a change. Raises InvalidSetting, NotCounted."""
    declared = table(work).settings[on]
    for name, value in given.items():
        setting = declared.get(name)
        if setting is None:
            raise InvalidSetting(name, f"is no setting of a {on}")
        if value is not None and not setting.least <= value <= setting.most:
            bound = setting.least if value < setting.least else setting.most
            raise InvalidSetting(name, f"must be {setting.least} to {setting.most}", bound)
    if on is not Owner.PLAN:  # a plan's limit has no effect before the plan is chosen
        must_be_counted(work, on, given)
    return {name: value for name, value in {**before, **given}.items() if value is not None}


def must_be_counted(work: Work, on: Owner, given: Given) -> None:
    """Refuse a limit on what is open before all of that is counted. Raises NotCounted."""
    resources = table(work)
    for name, setting in resources.settings[on].items():
        resource = resources.counting.get(setting)
        if resource is not None and given.get(name) is not None and not counted_of(work, resource).complete:
            raise NotCounted(resource=resource)


def change(work: Work, command: ChangeSettings) -> None:
    """Raises InvalidSetting, NotCounted."""
    before = own_settings(work, command.on, command.id)
    after = changed(work, command.on, before, command.settings)
    work.emit(stream_of(command.on, command.id), SettingsChanged(settings=after))


MODULE = Module(
    deciders={ChangeSettings: Decider(lambda command: (stream_of(command.on, command.id),), change)},
    answerers={
        SettingsNow: Answerer(
            lambda question: (stream_of(question.on, question.id),),
            lambda work, question: own_settings(work, question.on, question.id),
        )
    },
    kinds={PREFIX: timeless(OwnSettings(), evolve, lambda own: len(own.values))},
    events=EVENTS,
)
