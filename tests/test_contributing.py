"""The table of CONTRIBUTING.md is true: its files exist, and the lists that it names have all that there is."""

import re
from importlib import import_module
from types import ModuleType

import pytest

from api.app import DECLARED
from api.http.endpoint import Endpoint
from console.catalogue import ALL_PAGES
from console.pages import Pages
from domain.kernel.domain import Module
from domain.registry import SCRIP
from domain.resources.account import AccountResource
from domain.resources.quota import QuotaResource
from domain.resources.table import RESOURCES
from projections import READ_MODELS
from projections.read_model import ReadModel
from tests.source_tree import ROOT, sources

ADDED = ("a command", "a field of an event", "a limited resource", "a read model", "an endpoint", "a page")
TABLE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## What to touch")[1].split("## Style")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| a")]
PATHS = sorted(set(re.findall(r"`([^` ]+/[^` ]*)`", TABLE)))
LISTS = re.findall(r"`([A-Z_]+)` in `([^`]+)`", TABLE)


def files_of(path: str) -> list[str]:
    """What a path of the page stands for: `<name>` is any one name, the name of a console's area may be left out."""
    pattern = re.sub(r"<\w+>", "*", path)
    return [found.relative_to(ROOT).as_posix() for found in ROOT.glob(pattern)]


def modules(folder: str) -> list[ModuleType]:
    """All modules of a folder of the product."""
    found = [source.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for source in sources(folder)]
    return [import_module(name) for name in found]


def test_it_has_a_row_for_each_thing_that_is_added() -> None:
    assert tuple(row[0] for row in ROWS) == ADDED
    assert [len(row) for row in ROWS] == [4] * len(ADDED)
    assert len(LISTS) == len(ADDED), "each row names its list"


@pytest.mark.parametrize("path", PATHS)
def test_its_files_exist(path: str) -> None:
    assert files_of(path), path


@pytest.mark.parametrize(("name", "path"), LISTS)
def test_its_lists_are_where_it_says(name: str, path: str) -> None:
    for file in files_of(path):
        wanted, text = name, (ROOT / file).read_text(encoding="utf-8")
        if name == "MODULE" and "generations" in file:  # whose module is made with the table of resources
            wanted, text = "DECIDERS", (ROOT / file).with_name("handlers.py").read_text(encoding="utf-8")
        assert re.search(rf"^_?{wanted}\b.* = ", text, re.MULTILINE), f"{file} has no {wanted}"


def test_the_registry_has_every_systems_deciders_and_events() -> None:
    for module in modules("domain"):
        if isinstance(listed := getattr(module, "MODULE", None), Module):
            assert set(listed.deciders) <= set(SCRIP.deciders), module.__name__
        if module.__name__.endswith(".events"):
            assert set(getattr(module, "EVENTS", {})) <= set(SCRIP.events), module.__name__


def test_every_resource_has_its_row() -> None:
    found = [value for module in modules("domain") for value in vars(module).values()]
    declared = {each.name for each in found if isinstance(each, AccountResource | QuotaResource)}
    assert declared == set(RESOURCES.by_name)


def test_every_read_model_endpoint_and_page_is_in_its_list() -> None:
    models = [value for module in modules("projections") for value in vars(module).values()]
    declared = {each.name for each in models if isinstance(each, ReadModel)} - {"checkpoints"}
    assert declared == {each.name for each in READ_MODELS}
    for module in modules("api"):
        endpoints = [value for value in vars(module).values() if isinstance(value, Endpoint)]
        assert {each.name for each in endpoints} <= {each.name for each in DECLARED} | {"run_batch"}, module.__name__
    found = [module.pages for module in modules("console") if isinstance(getattr(module, "pages", None), Pages)]
    pages = [page for each in found for page in each]
    assert {(page.method, page.path) for page in pages} == {(page.method, page.path) for page in ALL_PAGES}
