"""What may be asked for before a generation runs, and what a deployment assumes where nothing is priced."""

from dataclasses import dataclass, field
from typing import NamedTuple

from domain.prices.events import OptionValue

MB = 1_048_576
IMAGE_LIKE = frozenset({"image", "studio", "marketing"})
VIDEO = "video"
SHORT_VIDEO_S = 6
UPLOAD = "upload"


class Defaults(NamedTuple):
    """Token estimates by kind of operation (S0), and the storage limit in bytes where neither user nor plan has one."""

    image_simple: int = 100
    image_complex: int = 200
    video_short: int = 500
    video_long: int = 1000
    chat: int = 50
    storage_limit: int = 1024 * MB


DEFAULTS = Defaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """May `user` do `operation` (lower-case), and what would it take?

    `tokens` and `bytes` (each 0 to 10^12) raise what the server estimates and never lower it. A `token_type`, or a
    `feature` mapped to one, is charged to the organisation's plan. `estimate` sizes the hold of what is priced by use;
    only who `may_lower` it gets a smaller hold than the price expects.
    """

    user: str
    operation: str
    provider: str | None = None
    model: str | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    tokens: int | None = None
    bytes: int | None = None
    token_type: str | None = None
    feature: str | None = None
    defaults: Defaults = DEFAULTS
    estimate: dict[str, int] | None = None
    may_lower: bool = False

    @property
    def only_stores(self) -> bool:
        """Whether bytes alone are asked for: an upload takes nothing else, anything that is generated does."""
        return self.operation == UPLOAD and self.bytes is not None
