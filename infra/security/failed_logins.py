"""Slows whoever guesses keys: how many logins failed lately, by the caller's address and by the API key tried.

In the memory of one process, and bounded: a guess must cost us less than it costs the one who guesses. After a restart
or in another process the count begins again, which allows a few more guesses at secrets of 192 bits and more.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic

WINDOW_S = 60
WHOLE_ADDRESS = 5  # times the limit of one key: one program with an old key must not lock its whole office out
MAX_COUNTS = 10_000  # of addresses and keys together, some 3 MB; above it the one that failed longest ago is dropped
MAX_KEY = 64  # characters of a key's id that are kept

_Tried = tuple[str, str]


class FailedLogins:
    """Counts in windows of a minute. `limit`: failures for one key of one address, five times that for all; 0: off."""

    def __init__(self, limit: int, clock: Callable[[], float] = monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._counts: OrderedDict[_Tried, tuple[float, int]] = OrderedDict()  # when the window ends, failures

    def __len__(self) -> int:
        """How many counts are kept."""
        return len(self._counts)

    def wait_s(self, address: str, key_id: str = "") -> int:
        """0 if this address may try (this key) now; else the whole seconds until it may."""
        if not (self.limit and address):
            return 0
        place = network_of(address)
        waits = [self._left(place, key_id[:MAX_KEY], self.limit)] if key_id else []
        return max(*waits, self._left(place, "", self.limit * WHOLE_ADDRESS), 0)

    def failed(self, address: str, key_id: str = "") -> None:
        """Count a failure. One that was refused by `wait_s` is none: it tried nothing."""
        if not (self.limit and address):
            return
        place, now = network_of(address), self._clock()
        for tried in {(place, key_id[:MAX_KEY]), (place, "")}:
            ends, count = self._counts.get(tried, (0.0, 0))
            self._counts[tried] = (ends, count + 1) if ends > now else (now + WINDOW_S, 1)
            self._counts.move_to_end(tried)
        while len(self._counts) > MAX_COUNTS:
            self._counts.popitem(last=False)

    def _left(self, place: str, key_id: str, limit: int) -> int:
        ends, count = self._counts.get((place, key_id), (0.0, 0))
        return max(0, ceil(ends - self._clock())) if count >= limit else 0


def network_of(address: str) -> str:
    """What one caller can have of addresses: the address itself, of IPv6 the first 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.exploded[:19]
