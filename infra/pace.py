"""How often each of many callers may do something, counted in this process's memory."""

from collections import OrderedDict
from time import monotonic

MOST_KNOWN = 20_000  # callers; the one that did least lately is forgotten, and begins anew


class Pace:
    """At most `limit` (from 1) at once, and then as many in `window_s` seconds (from 1), evenly.

    Kept for each key is one number: the moment at which all that was spent is made up for. Counted by process, because
    what this protects is not worth a statement for each request; what must be exact is counted in PostgreSQL
    (`infra/security/request_rates.py`). Memory is bounded by `most_known` keys.
    """

    def __init__(self, limit: int, window_s: int, most_known: int = MOST_KNOWN) -> None:
        self.limit, self.window_s = limit, window_s
        self._each_s = window_s / limit
        self._most_known = most_known
        self._even_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def spend(self, key: tuple[str, str]) -> None:
        """Count one. What is beyond the limit counts too."""
        now = monotonic()
        self._even_at[key] = max(self._even_at.get(key, now), now) + self._each_s
        self._even_at.move_to_end(key)
        if len(self._even_at) > self._most_known:
            self._even_at.popitem(last=False)

    def wait_s(self, key: tuple[str, str]) -> float:
        """Seconds until the key has something to spend; 0 while it has."""
        even_at = self._even_at.get(key)
        if even_at is None:
            return 0.0
        return max(0.0, even_at + self._each_s - self.window_s - monotonic())

    def has_spent(self, key: tuple[str, str]) -> bool:
        """Whether the key has spent anything that is not made up for yet."""
        even_at = self._even_at.get(key)
        return even_at is not None and even_at > monotonic()

    def __len__(self) -> int:
        """How many keys are known."""
        return len(self._even_at)
