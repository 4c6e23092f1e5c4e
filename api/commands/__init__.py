"""Calls that become commands: for each the body, the answer, and how one becomes the other."""

from api.commands.accounts import CONFIGURE
from api.commands.alert_rules import SET_ALERT_RULES
from api.commands.budgets import SET_BUDGET, SET_MY_BUDGET
from api.commands.contents import DELETE_CONTENT
from api.commands.debits import DEBIT, REFUND, TRANSFER
from api.commands.generations import CANCEL, CREATE, EXTEND_GENERATION, START
from api.commands.grants import GRANT, VOID
from api.commands.groups import (
    ADD_MEMBERS,
    CREATE_GROUP,
    DELETE_GROUP,
    DELETE_MEMBERS,
    EDIT_GROUP,
    REMOVE_MEMBERS,
    TRACK,
)
from api.commands.me import MY_CREDITS
from api.commands.organisations import CHOOSE_PLAN, CONFIGURE_ORGANISATION
from api.commands.plans import PUBLISH_FEATURES, PUBLISH_PACKAGES, PUBLISH_PLAN
from api.commands.prices import PUBLISH
from api.commands.purchases import CANCEL_PURCHASE, MARK_PAID, WRITE_OFF
from api.commands.reservations import CAPTURE, EXTEND, RELEASE, RESERVE
from api.commands.settings import SETTINGS
from api.commands.settlements import CONFIRM, FAIL, REFUND_GENERATION
from api.commands.storage import SET_STORAGE_LIMIT
from api.operation import Operation

# The busiest first: that is the order in which paths are matched.
OPERATIONS: tuple[Operation, ...] = (
    CREATE,
    CONFIRM,
    START,
    FAIL,
    RESERVE,
    CAPTURE,
    RELEASE,
    DEBIT,
    MY_CREDITS,
    TRACK,
    CANCEL,
    EXTEND_GENERATION,
    REFUND_GENERATION,
    DELETE_CONTENT,
    EXTEND,
    GRANT,
    VOID,
    REFUND,
    TRANSFER,
    CONFIGURE,
    PUBLISH,
    SET_STORAGE_LIMIT,
    *SETTINGS,
    CREATE_GROUP,
    EDIT_GROUP,
    DELETE_GROUP,
    ADD_MEMBERS,
    REMOVE_MEMBERS,
    DELETE_MEMBERS,
    SET_MY_BUDGET,
    SET_BUDGET,
    MARK_PAID,
    CANCEL_PURCHASE,
    WRITE_OFF,
    CONFIGURE_ORGANISATION,
    CHOOSE_PLAN,
    PUBLISH_PLAN,
    PUBLISH_FEATURES,
    PUBLISH_PACKAGES,
    SET_ALERT_RULES,
)
