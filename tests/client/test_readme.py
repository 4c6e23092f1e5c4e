"""The example in the client's README runs as it stands."""

import ast
import asyncio
import re
from functools import partial
from pathlib import Path

import pytest
import scrip_client
from scrip_client.testing import FakeScrip

from tests.source_tree import ROOT

FILM: dict[str, int | bool | str] = {"resolution": "1080P", "duration": 6}


def test_the_example_charges_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "client" / "README.md").read_text(), re.DOTALL)
    fake = FakeScrip()
    fake.price(operation="video", model="MiniMax-Hailuo-02", credits=1_100, options=FILM)
    fake.give("u_42", credits=1_500)
    monkeypatch.setattr(scrip_client, "AsyncScrip", partial(scrip_client.AsyncScrip, transport=fake))
    monkeypatch.chdir(tmp_path)

    async def run_model(_prompt: object) -> bytes:
        return b"film"

    code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for left in (400, 400):  # the second time it is refused
        asyncio.run(eval(code, {"TOKEN": fake.token(), "run_model": run_model}))  # noqa: S307 - our own README
        assert fake.available("u_42") == left
    assert "You need 1100 credits but only have 400" in capsys.readouterr().out
    assert [each["bytes"] for each in fake.call("GET", "/api/v1/contents?user_id=u_42")["items"]] == [4]
