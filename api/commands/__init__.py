"""Calls that become commands: for each the body, the answer, and how one becomes the other."""

from api.commands.accounts import CONFIGURE
from api.commands.debits import DEBIT, REFUND, TRANSFER
from api.commands.grants import GRANT, VOID
from api.commands.me import MY_CREDITS
from api.commands.prices import PUBLISH
from api.commands.reservations import CAPTURE, EXTEND, RELEASE, RESERVE
from api.operation import Operation

# The busiest first: that is the order in which paths are matched.
OPERATIONS: tuple[Operation, ...] = (
    RESERVE,
    CAPTURE,
    RELEASE,
    DEBIT,
    MY_CREDITS,
    EXTEND,
    GRANT,
    VOID,
    REFUND,
    TRANSFER,
    CONFIGURE,
    PUBLISH,
)
