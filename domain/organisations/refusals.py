"""Every way in which a command on an organisation can be refused."""

from dataclasses import dataclass
from typing import ClassVar

from domain.refusal import InvalidValue, Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class InvalidSetting(InvalidValue, Refusal):
    """A setting that cannot be right; `limit` is the bound that it passes, where there is one."""

    code: ClassVar[str] = "invalid_setting"


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
