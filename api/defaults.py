"""What a deployment assumes where nothing is priced or limited (S0)."""

from domain.generations.request import Defaults
from infra.settings import Settings


def defaults_of(settings: Settings) -> Defaults:
    """Token estimates by kind of operation, and the storage limit of who has none."""
    return Defaults(
        image_simple=settings.tokens_image_simple,
        image_complex=settings.tokens_image_complex,
        video_short=settings.tokens_video_short,
        video_long=settings.tokens_video_long,
        chat=settings.tokens_chat,
        storage_limit=settings.default_storage_limit,
    )
