"""Waits until what a form did can be read, so that the page that is shown next has it."""

from typing import Any

from console.api import ApiProblem
from console.visit import Visit

LATER = 503


async def visible(visit: Visit, path: str, answer: Any) -> None:
    """Let the read model behind the list at `path` come to the answer's position, as long as the API waits.

    A list that is not there yet is no error: what was done is done, and the page shows it at the next look.
    """
    try:
        await visit.api.get(path, limit=1, min_position=answer["position"])
    except ApiProblem as problem:
        if problem.status != LATER:
            raise
