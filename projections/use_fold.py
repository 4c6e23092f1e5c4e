"""The fold of limited use (storage, groups, budgets) into its read models. Pure."""

from typing import Any

from domain.budgets.events import CostRecorded
from domain.groups.events import GroupDeleted, MembersAdded, MembersRemoved
from domain.storage.events import ContentDeleted, ContentStored
from projections import budgets, contents, costs, group_usage, groups, members, storages, usage, use_holds
from projections.facts import Fact
from projections.models import Needed, ReadModels


def need_storage(needed: Needed, fact: Fact) -> None:
    """Name the stored rows that an event of a user's storage needs."""
    models, event = needed.models, fact.event
    needed.row(models.storages, (fact.org, fact.id))
    if isinstance(event, ContentDeleted):
        needed.row(models.contents, (fact.org, event.content_id))
    _need_hold(needed, fact)


def need_group(needed: Needed, fact: Fact) -> None:
    """Name the stored rows that an event of a group needs."""
    needed.row(needed.models.groups, (fact.org, fact.id))
    _need_hold(needed, fact)


def need_budget(needed: Needed, fact: Fact) -> None:
    """Name the stored rows that an event of a user's budget needs."""
    needed.row(needed.models.budgets, (fact.org, fact.id))
    _need_hold(needed, fact)


def _need_hold(needed: Needed, fact: Fact) -> None:
    if isinstance(fact.event, use_holds.Ending):
        needed.row(needed.models.use_holds, use_holds.hold_key(fact, fact.event.generation_id))


def fold_storage(models: ReadModels, fact: Fact) -> None:
    """Fold one event of a user's storage. Raises CannotApply where it does not fit."""
    key = (fact.org, fact.id)
    row = models.storages.get(key) or storages.opened(fact)
    storages.apply(row, models.use_holds, fact, fact.event)
    models.storages.put(key, row)
    fold_content(models, fact)


def fold_content(models: ReadModels, fact: Fact) -> None:
    """Fold the event into the object that it is about, if any."""
    event = fact.event
    if isinstance(event, ContentStored):
        models.contents.begin((fact.org, event.content_id), contents.stored(fact, event))
    elif isinstance(event, ContentDeleted):
        key = (fact.org, event.content_id)
        content = models.contents.get(key)
        if content is None:
            models.missing(fact, "content")
        else:
            contents.deleted(content, fact)
            models.contents.put(key, content)


def fold_group(models: ReadModels, fact: Fact) -> None:
    """Fold one event of a group. Raises CannotApply where it does not fit."""
    key, event = (fact.org, fact.id), fact.event
    row = models.groups.get(key) or groups.opened(fact)
    for use in group_usage.changes(fact, event, row.period_key):
        models.group_usage.add(use)
    groups.apply(row, models.use_holds, fact, event)
    models.groups.put(key, row)
    _fold_members(models, fact, event)


def _fold_members(models: ReadModels, fact: Fact, event: Any) -> None:
    match event:
        case MembersAdded(users=users):
            for user in users:
                models.members.put((fact.org, fact.id, user), members.joined(fact, user))
        case MembersRemoved(users=users):
            for user in users:
                models.members.drop((fact.org, fact.id, user))
        case GroupDeleted():
            models.members.drop_all((fact.org, fact.id))


def fold_budget(models: ReadModels, fact: Fact) -> None:
    """Fold one event of a user's budget. Raises CannotApply where it does not fit."""
    key, event = (fact.org, fact.id), fact.event
    row = models.budgets.get(key) or budgets.opened(fact)
    budgets.apply(row, models.use_holds, fact, event)
    models.budgets.put(key, row)
    if isinstance(event, CostRecorded):
        models.usage.add(usage.recorded(fact, event))
        models.costs.append(costs.recorded(fact, event))
