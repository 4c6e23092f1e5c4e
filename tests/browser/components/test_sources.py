"""What must hold of the components' files: readable from any page under a strict policy, without a build."""

import re
from pathlib import Path

import pytest

from tests.source_tree import ROOT

FOLDER = ROOT / "console" / "components"
MODULES = sorted(FOLDER.glob("*.js"))
LONGEST_FILE, LONGEST_LINE = 260, 120
FORBIDDEN = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style=\"")
IMPORT = re.compile(r"""(?:^import|^export)[^"';]*from\s+["']([^"']+)["']|^import\s+["']([^"']+)["']""", re.MULTILINE)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_short_says_what_it_is_for_and_never_makes_markup_from_text(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert text.startswith("/**"), "say what it is for"
    assert FORBIDDEN.findall(text) == []
    lines = text.splitlines()
    assert len(lines) <= LONGEST_FILE
    assert [number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_needs_nothing_but_files_beside_it(module: Path) -> None:
    for found in IMPORT.findall(module.read_text(encoding="utf-8")):
        name = found[0] or found[1]
        if module.name == "react.js" and name == "react":
            continue
        assert name.startswith("./"), f"{module.name} imports {name}"
        assert (FOLDER / name).is_file(), f"{module.name} imports {name}"


def test_every_element_is_registered_by_the_index_and_typed() -> None:
    defined = {
        name for module in MODULES for name in re.findall(r'define\("(scrip-[a-z-]+)"', module.read_text("utf-8"))
    }
    assert len(defined) == 6
    index, types = (FOLDER / "index.js").read_text("utf-8"), (FOLDER / "scrip.d.ts").read_text("utf-8")
    for name in defined:
        assert f'"./{name.removeprefix("scrip-")}.js"' in index
        assert f'"{name}":' in types


def test_the_lockfile_names_no_registry() -> None:
    text = (ROOT / "tests" / "browser" / "npm" / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert "://" not in text
    assert text.count('"integrity"') >= 6
