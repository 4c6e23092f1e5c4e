"""What a deployment assumes where nothing is priced is configured."""

import pytest

from api.http.services import defaults_of
from domain.generations.request import DEFAULTS
from infra.settings import Settings


def test_every_estimate_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """S0-4: configurable; and the limit of who has none (S0-5)."""
    assert defaults_of(Settings()) == DEFAULTS
    names = ("TOKENS_IMAGE_SIMPLE", "TOKENS_IMAGE_COMPLEX", "TOKENS_VIDEO_SHORT", "TOKENS_VIDEO_LONG", "TOKENS_CHAT")
    for number, name in enumerate((*names, "DEFAULT_STORAGE_LIMIT"), start=1):
        monkeypatch.setenv(f"SCRIP_{name}", str(number))
    assert tuple(defaults_of(Settings())) == (1, 2, 3, 4, 5, 6)
