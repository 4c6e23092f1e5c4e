"""The wheels that an integrator installs: the client needs httpx alone and imports nothing of the service.

That is in a wheel of its own, which the extra `testing` brings, and runs in a child process.
"""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.source_tree import ROOT
from tests.waiting import patient

IMPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import scrip_client, scrip_client.testing
assert scrip_client.__file__.startswith(sys.argv[1]), scrip_client.__file__
"""
ALONE = f"""{IMPORT}
try:
    scrip_client.testing.FakeScrip()
except ImportError as error:
    print(error)
"""
TRY = f"""{IMPORT}
fake = scrip_client.testing.FakeScrip()
fake.price(operation="image", model="m", credits=3)
fake.give("u", credits=3)
with scrip_client.Scrip("http://scrip", token=fake.token(), transport=fake) as scrip:
    with scrip.generation(user="u", operation="image", model="m"):
        pass
ours = {{"api", "domain", "infra", "consumers", "projections", "cli", "console"}}
print(fake.available("u"), sorted(ours & set(sys.modules)), "aiokafka" in sys.modules)
print(scrip_client.testing._folder())
"""
# In the child: the packages that its modules import, but for the standard library's and ours.
NEEDS = """
import ast, sys
sys.path.insert(0, sys.argv[1])
import api.in_memory
from pathlib import Path
OURS = {"api", "domain", "infra", "projections"}
files = [Path(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] in OURS]
nodes = [node for file in files for node in ast.parse(file.read_text()).body]
names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
print(*sorted({name.split(".")[0] for name in names} - OURS - sys.stdlib_module_names))
"""


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet", "--no-index"], check=True, timeout=patient(120))


def ran(code: str, *arguments: Path) -> str:
    """What it prints, in an interpreter that only knows the environment."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def built(source: Path, folder: Path) -> Path:
    """Built without a network."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's."""
    return built(ROOT / "client", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of Scrip's own code."""
    return built(ROOT / "client" / "engine", tmp_path_factory.mktemp("engine"))


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


def test_alone_it_imports_nothing_of_ours_and_says_what_tests_need(wheel: Path, tmp_path: Path) -> None:
    pip("install", "--no-deps", "--target", str(tmp_path), str(wheel))
    assert 'pip install "scrip-client[testing]"' in ran(ALONE, tmp_path)


def test_it_works_from_where_it_is_installed(wheel: Path, engine: Path, tmp_path: Path) -> None:
    pip("install", "--no-deps", "--target", str(tmp_path), str(wheel), str(engine))
    assert ran(TRY, tmp_path).splitlines() == ["0 [] False", str(tmp_path / "scrip_engine")]
    assert {each.name for each in tmp_path.iterdir() if each.suffix != ".dist-info"} == {"scrip_client", "scrip_engine"}


def test_the_engine_brings_what_its_modules_import() -> None:
    imported = {name for top in ran(NEEDS, ROOT).split() for name in packages_distributions()[top]}
    declared = tomllib.loads((ROOT / "client" / "engine" / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9-]", each)[0] for each in declared}
    needed = {name.lower().replace("_", "-") for name in imported} - {
        "starlette",
        "pydantic-core",
        "psycopg-pool",
    }  # parts of others
    assert needed <= names, needed - names
    assert set(declared) <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
