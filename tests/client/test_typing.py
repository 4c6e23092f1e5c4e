"""What a type checker tells an integrator: the methods keep their parameters and answers, wrong ones are found."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT
from tests.waiting import patient

USAGE = '''
"""An integrator's code."""

from scrip_client import AsyncScrip, Scrip
from scrip_client.testing import FakeScrip


async def whole(scrip: AsyncScrip) -> int:
    async with scrip.generation(user="u", operation="video", model="m", options={"duration": 6}) as g:
        g.confirm(content_bytes=5)
        part = await g.part(succeeded=1)
        reveal_type(part)
    reveal_type(g)
    reveal_type(await scrip.balance("user:u:credits"))
    async for one in scrip.generations(user="u"):
        reveal_type(one)
    return (await scrip.me()).credits.available


def blocking(fake: FakeScrip) -> None:
    with Scrip("http://scrip", token=fake.token, transport=fake) as scrip:
        reveal_type(scrip.check(user="u", operation="image"))
        reveal_type(scrip.generation(user="u", operation="image"))
        reveal_type(next(scrip.transactions("user:u:credits")).amount)
        scrip.generation(operation="image")
        scrip.generation(user="u", operation="image", options={"duration": 6.5})
        scrip.generation(user="u", operation="image", ttl_second=60)
        scrip.balance(7)
        scrip.fail("g")
        with scrip.generation(user="u", operation="image") as g:
            g.fail("because")
'''
REVEALED = (
    "scrip_client.answers.Settlement | None",
    "scrip_client.asynchronous.AsyncGeneration",
    "scrip_client.answers.Balance",
    "scrip_client.answers.GenerationState",
    "scrip_client.answers.Assessment",
    "scrip_client.blocking.Generation",
    "int",
)
WRONG = ("call-arg", "dict-item", "call-arg", "arg-type", "call-arg", "arg-type")


def test_types_reach_the_integrator(tmp_path: Path) -> None:
    file = tmp_path / "integrator.py"
    file.write_text(USAGE)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(200),
    )
    said = checked.stdout
    revealed = [found.replace("builtins.", "") for found in re.findall(r'Revealed type is "(.*)"', said)]
    assert revealed == list(REVEALED), said
    assert re.findall(r"error: .*\[([a-z-]+)\]", said) == list(WRONG), said


PYRIGHT = shutil.which("basedpyright")


@pytest.mark.skipif(PYRIGHT is None, reason="pyright is 280 MB: pip install basedpyright==1.40.2")
def test_all_public_types_are_known_to_pyright(tmp_path: Path) -> None:
    checked = subprocess.run(
        [PYRIGHT or "", "--verifytypes", "scrip_client", "--ignoreexternal"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # whose packages it sees
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(100),
    )
    assert "Type completeness score: 100%" in checked.stdout, checked.stdout
