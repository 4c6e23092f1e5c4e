"""The wheel that an integrator installs: it has its types, needs httpx alone, and imports nothing of the service."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.source_tree import ROOT
from tests.waiting import patient

TRY = """
import sys
sys.path.insert(0, sys.argv[1])
import scrip_client, scrip_client.testing
assert scrip_client.__file__.startswith(sys.argv[1]), scrip_client.__file__
fake = scrip_client.testing.FakeScrip()
fake.price(operation="image", model="m", credits=3)
fake.give("u", credits=3)
with scrip_client.Scrip("http://scrip", token=fake.token(), transport=fake) as scrip:
    with scrip.generation(user="u", operation="image", model="m"):
        pass
ours = {"api", "domain", "infra", "consumers", "projections", "cli", "console"}
print(fake.available("u"), sorted(ours & set(sys.modules)), "aiokafka" in sys.modules)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT / "client")], check=True, timeout=patient(120))
    (made,) = folder.glob("scrip_client-*.whl")
    return made


def test_it_has_all_modules_its_types_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
    sources = (ROOT / "client" / "scrip_client").rglob("*.py")
    assert {str(file.relative_to(ROOT / "client")) for file in sources} | {"scrip_client/py.typed"} <= names
    assert "License-Expression: Apache-2.0" in metadata
    assert any(name.endswith("licenses/LICENSE") for name in names)
    needs = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert [need.partition(":")[2].strip()[:5] for need in needs] == ["httpx"]


def test_it_works_from_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, timeout=patient(120))
    tried = subprocess.run(
        [sys.executable, "-I", "-c", TRY, str(target)], capture_output=True, text=True, check=False, timeout=patient(60)
    )
    assert tried.stdout.strip() == "0 [] False", tried.stderr
