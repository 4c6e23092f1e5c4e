"""Places around the commit at which a test makes a process die, fail, stand still or lose its connection.

Nothing happens unless SCRIP_FAILPOINTS is set when the process starts: `PLACE=ACTION[@N],...`, where N (1 for the
first, the default) counts the times that the place is passed. Actions: `kill` (-9), `raise`, `hang`, `sever`.
"""

import os
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any

VARIABLE = "SCRIP_FAILPOINTS"
HANG_S = 15.0

BEFORE_BEGIN = "before-begin"
EVENTS_SENT = "events-sent"
KEYS_SENT = "keys-sent"
BEFORE_COMMIT = "before-commit"
COMMIT_SENT = "commit-sent"  # and its reply unread: nobody knows whether it went through
COMMITTED = "committed"  # and nobody told yet
PLACES = (BEFORE_BEGIN, EVENTS_SENT, KEYS_SENT, BEFORE_COMMIT, COMMIT_SENT, COMMITTED)
ACTIONS = ("kill", "raise", "hang", "sever")


class FailpointHit(Exception):
    """What the action `raise` raises."""


@dataclass(slots=True)
class Fault:
    """What is to happen at a place when it has been passed `left` more times."""

    action: str
    left: int = 1


def parse(text: str) -> dict[str, Fault]:
    """The faults that a value of SCRIP_FAILPOINTS asks for. Raises ValueError for an unknown place or action."""
    faults: dict[str, Fault] = {}
    for part in filter(None, text.split(",")):
        place, _, what = part.partition("=")
        action, _, times = what.partition("@")
        if place not in PLACES or action not in ACTIONS:
            raise ValueError(f"{VARIABLE}: {part} is not PLACE=ACTION with {PLACES} and {ACTIONS}")
        faults[place] = Fault(action, int(times or 1))
    return faults


FAULTS = parse(os.environ.get(VARIABLE, ""))


def failpoint(place: str, pipeline: Any = None) -> None:
    """Do what was asked for at this place, once all is sent; `pipeline` is the one whose connection `sever` cuts."""
    if FAULTS:
        _pass(place, pipeline)


def _pass(place: str, pipeline: Any) -> None:
    fault = FAULTS.get(place)
    if fault is None:
        return
    fault.left -= 1
    if fault.left != 0:
        return
    if pipeline is not None:
        pipeline.push()
    if fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.action == "hang":
        time.sleep(HANG_S)
    elif fault.action == "sever" and pipeline is not None:
        with socket.socket(fileno=os.dup(pipeline.connection.pgconn.socket)) as cut:
            cut.shutdown(socket.SHUT_RDWR)
    elif fault.action == "raise":
        raise FailpointHit(place)
