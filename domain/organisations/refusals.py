"""Every way in which a command on an organisation can be refused."""

from domain.refusal import InvalidValue, Refusal, RefusalKind


class InvalidSetting(InvalidValue, Refusal, code="invalid_setting"):
    """A setting that cannot be right; `limit` is the bound that it passes, where there is one."""


class NotCounted(Refusal, code="not_counted", kind=RefusalKind.BUSY):
    """What is open is not counted yet (domain/generations/count.py), so that a limit would not be exact."""

    resource: str

    def __str__(self) -> str:
        return "What runs now must be counted before it can be limited. Set the limit on its own, outside a batch."


class UnknownPlan(Refusal, code="unknown_plan", kind=RefusalKind.INVALID):
    """There is no such plan; `known` lists those that there are."""

    value: str
    known: tuple[str, ...]
    field: str = "plan"

    def __str__(self) -> str:
        return f"{self.field}: there is no plan {self.value}. Known are: {', '.join(self.known)}."
