"""Signs of life: for how long a child of the service has given none, as far as this process could have noticed."""

from __future__ import annotations

import os
import time

LONGEST_STEP_S = 1.0


class Silence:
    """For how long nothing was heard.

    Only time in which this process itself ran is counted, at most LONGEST_STEP_S from one look to the next: after the
    machine slept, or this process was stopped or got no processor, everybody has the whole limit again.
    """

    def __init__(self) -> None:
        """It begins with the first look."""
        self._looked: float | None = None
        self._seconds = 0.0

    def look(self, *, heard: bool) -> float:
        """The seconds of silence, now that something was `heard` since the last look, or nothing."""
        now = time.monotonic()
        if heard:
            self._seconds = 0.0
        elif self._looked is not None:
            self._seconds += min(now - self._looked, LONGEST_STEP_S)
        self._looked = now
        return self._seconds


class Pulse:
    """The pipe on which a child sends its signs of life. A pipe, because it needs no room on a disk and no port."""

    def __init__(self) -> None:
        """`given` is the end for the child, to be inherited under the same number."""
        self._heard, self.given = os.pipe()
        os.set_blocking(self._heard, False)
        self.begun = False  # it has sent something

    def handed_over(self) -> None:
        """The child has its end now."""
        os.close(self.given)
        self.given = -1

    def heard(self) -> bool:
        """Whether anything was sent since the last question."""
        try:
            said = os.read(self._heard, 65_536)
        except BlockingIOError:
            return False
        self.begun = self.begun or bool(said)
        return bool(said)

    def close(self) -> None:
        """Hear no more of it; closing twice is allowed."""
        for end in (self._heard, self.given):
            if end >= 0:
                os.close(end)
        self._heard = self.given = -1
