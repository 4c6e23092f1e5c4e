"""Every way in which a command on an organisation can be refused."""

from dataclasses import dataclass
from typing import ClassVar

from domain.refusal import Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class InvalidSetting(Refusal):
    """A setting that cannot be right; `limit` is the bound that it passes, where there is one."""

    code: ClassVar[str] = "invalid_setting"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    reason: str
    limit: int | None = None

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}."


@dataclass(unsafe_hash=True)
class UnknownPlan(Refusal):
    """There is no such plan; `known` lists those that there are."""

    code: ClassVar[str] = "unknown_plan"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    value: str
    known: tuple[str, ...]
    field: str = "plan"

    def __str__(self) -> str:
        return f"{self.field}: there is no plan {self.value}. Known are: {', '.join(self.known)}."
