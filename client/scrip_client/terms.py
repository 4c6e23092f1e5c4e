"""How a client works: the settings that both of its forms share, checked once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scrip_client.journal import Journal
from scrip_client.settling import Report, record_of
from scrip_client.steps import Record

Token = str | Callable[[], str]
Settle = Literal["http", "kafka"]
Outcome = Literal["provider_error", "input_blocked", "output_blocked", "timed_out", "cancelled", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`patience_s`: how long a call is repeated before Unavailable. `abandoned`: the outcome of a generation whose
    worker died before it had one, None to let it expire. `may_publish`: whether there is a way to Kafka."""

    token: Token
    organisation: str | None
    journal: Journal | None
    patience_s: float
    settle: Settle
    usage_topic: str
    abandoned: Outcome | None
    may_publish: bool

    def __post_init__(self) -> None:
        """Raises ValueError where the settings cannot work together."""
        if self.settle not in ("http", "kafka"):
            raise ValueError('settle is "http" or "kafka"')
        if self.settle == "kafka" and not self.may_publish:
            raise ValueError('settle="kafka" needs kafka="host:port"')
        if self.settle == "kafka" and not self.organisation:
            raise ValueError('settle="kafka" needs organisation=…, for a message on the topic must name it')
        if self.patience_s < 0:
            raise ValueError("patience_s must not be negative")

    def headers(self) -> dict[str, str]:
        """The headers of every request; a token that is a function is asked each time, so that it may be renewed."""
        found = {"Authorization": f"Bearer {self.bearer()}"}
        return found | {"Scrip-Organisation": self.organisation} if self.organisation else found

    def bearer(self) -> str:
        """The token or API key now."""
        return self.token() if callable(self.token) else self.token

    def message(self, report: Report) -> Record | None:
        """The report for the usage topic; None where it goes over HTTP."""
        if report.by != "kafka" or not self.may_publish or not self.organisation:
            return None
        return record_of(report, self.usage_topic, self.organisation, self.bearer())
