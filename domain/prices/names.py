"""What priced things are called: as the price book spells them, so that reports have one name for each."""

from typing import NamedTuple

from domain.prices.events import PriceEntry, PricesPublished


class Named(NamedTuple):
    """What is priced. None where neither the request nor the book names it."""

    operation: str | None
    provider: str | None
    model: str | None


def named(
    version: PricesPublished, entry: PriceEntry, operation: str | None, provider: str | None, model: str | None
) -> Named:
    """The names of what was asked for and is priced by `entry`; a provider that was not named is the entry's."""
    operation = operation or entry.operation
    provider = entry.provider or provider_name(version, provider)
    return Named(operation.lower() if operation else None, provider, entry.model or model)


def provider_name(version: PricesPublished | None, provider: str | None) -> str | None:
    """A provider as the price book spells it; as it is where the book does not name it."""
    if provider is None or version is None:
        return provider
    wanted = provider.casefold()
    names = (entry.provider for entry in version.entries if entry.provider is not None)
    return next((name for name in names if name.casefold() == wanted), provider)
