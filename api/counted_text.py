"""Whole amounts in sentences: `1 credit`, `1,100 credits`, `$0.08`."""

from domain.wording import bytes_text, usd_text


def counted(amount: int, one: str, many: str | None = None) -> str:
    """An amount of something, in the singular where it is one."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def amount_of_unit(amount: int, unit: str) -> str:
    """An amount of an account's unit, or of what generations take: `credits`, `tokens`, `plan_tokens`, `usd`, `bytes`.

    A plan's tokens have their type in the unit: `5 lead generation tokens` of `tokens.lead_generation`.
    """
    if unit == "usd":
        return usd_text(amount)
    if unit == "bytes":
        return bytes_text(amount)
    kind, _, type_ = unit.partition(".")
    name = {"plan_tokens": "plan tokens"}.get(kind, kind)
    words = f"{type_.replace('_', ' ')} {name}" if type_ else name
    return counted(amount, words.removesuffix("s"), words)
