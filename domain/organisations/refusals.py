"""Every way in which a command on an organisation can be refused."""

from domain.refusal import InvalidValue, Refusal, RefusalKind


class InvalidSetting(InvalidValue, Refusal, code="invalid_setting"):
    """A setting that cannot be right; `limit` is the bound that it passes, where there is one."""


class UnknownPlan(Refusal, code="unknown_plan", kind=RefusalKind.INVALID):
    """There is no such plan; `known` lists those that there are."""

    value: str
    known: tuple[str, ...]
    field: str = "plan"

    def __str__(self) -> str:
        return f"{self.field}: there is no plan {self.value}. Known are: {', '.join(self.known)}."
