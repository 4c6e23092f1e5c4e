"""The prices that an installation starts with: every price of S4 (credits) and of S2 (USD per image)."""

from domain.prices.events import OptionValue, PriceEntry


def _video(provider: str, model: str, price: int, **options: OptionValue) -> PriceEntry:
    return PriceEntry(provider=provider, model=model, operation="video", options=options, credits=price)


def _image(model: str, price: int) -> PriceEntry:
    return PriceEntry(provider="BFL", model=model, operation="image", credits=price)


def _sized(size: str, quality: str, usd_micros: int) -> PriceEntry:
    return PriceEntry(operation="image", options={"size": size, "quality": quality}, usd_micros=usd_micros)


CATALOGUE: tuple[PriceEntry, ...] = (
    _video("MiniMax", "MiniMax-Hailuo-02", 320, resolution="512P", duration=6),
    _video("MiniMax", "MiniMax-Hailuo-02", 420, resolution="512P", duration=10),
    _video("MiniMax", "MiniMax-Hailuo-02", 680, resolution="768P", duration=6),
    _video("MiniMax", "MiniMax-Hailuo-02", 1240, resolution="768P", duration=10),
    _video("MiniMax", "MiniMax-Hailuo-02", 1100, resolution="1080P", duration=6),
    _video("MiniMax", "T2V-01-Director", 980),
    _video("MiniMax", "I2V-01-Director", 980),
    _video("MiniMax", "S2V-01", 1420),
    _video("Runway", "Gen-4 Turbo", 620, duration=5),
    _video("Runway", "Gen-4 Turbo", 1120, duration=10),
    _video("Runway", "Gen-3a Turbo", 620, duration=5),
    _video("Runway", "Gen-3a Turbo", 1120, duration=10),
    _video("Runway", "Gen-4 Aleph", 3120, duration=10),
    _image("FLUX.1 Kontext [pro]", 110),
    _image("FLUX.1 Kontext [max]", 190),
    _image("FLUX 1.1 [pro] Ultra", 150),
    _image("FLUX.1 [dev]", 90),
    _image("FLUX.1 [pro]", 130),
    PriceEntry(provider="MiniMax", model="Music 1.5", operation="music", at_most={"duration": 90}, credits=90),
    _sized("1024x1024", "standard", 40_000),
    _sized("1024x1024", "hd", 80_000),
    _sized("1024x1792", "standard", 80_000),
    _sized("1024x1792", "hd", 120_000),
    _sized("1792x1024", "standard", 80_000),
    _sized("1792x1024", "hd", 120_000),
)
