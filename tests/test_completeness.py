"""Nothing is forgotten when something is added: each command, event and refusal has what belongs to it."""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from domain.budgets.events import BudgetEvent
from domain.credits.events import CreditsEvent
from domain.generations.events import GenerationEvent
from domain.groups.events import GroupEvent, MembershipEvent
from domain.kernel.domain import LetTimePass
from domain.organisations.events import OrganisationEvent
from domain.plans.events import PlansEvent, PurchaseEvent
from domain.prices.events import PricesEvent
from domain.quotas.counted import CountedEvent
from domain.refusal import Refusal
from domain.registry import SCRIP
from domain.settings.setting import SettingsChanged
from domain.storage.events import StorageEvent
from infra.audit import rules
from infra.settings import Settings
from tests.order import LONGEST, SLOW, TOGETHER
from tests.source_tree import PRODUCT, ROOT, Source, sources

COMMANDS = sorted(SCRIP.deciders, key=lambda command: command.__name__)
UNIONS = (
    CreditsEvent, StorageEvent, GroupEvent, MembershipEvent, BudgetEvent, OrganisationEvent, PlansEvent,
    PurchaseEvent, GenerationEvent, CountedEvent,
)  # fmt: skip
EVENTS = {PricesEvent, SettingsChanged, *(event for union in UNIONS for event in get_args(union))}
# The same thing to callers wherever it happens; the facts say where.
SHARED_CODES = {"exists", "not_found", "unpriced", "exceeds_debit", "insufficient_tokens"}
SHAPELESS = {"utils", "helpers", "common", "manager", "managers", "core", "misc", "util", "helper"}


def _test_files(command: type) -> list[Source]:
    """The test files of a command's system: `tests` mirrors the folders."""
    if command is LetTimePass:
        return [source for source in sources("tests/domain/credits") if source.path.endswith("/test_due.py")]
    *folders, _ = command.__module__.split(".")
    return [source for source in sources("/".join(["tests", *folders])) if "/test_" in source.path]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_has_a_test_of_its_system_that_uses_it(command: type) -> None:
    assert any(f"{command.__name__}(" in source.text for source in _test_files(command)), f"test {command.__name__}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_says_what_its_fields_may_be(command: type) -> None:
    assert (command.__doc__ or "").strip(), f"{command.__name__} needs a docstring"
    assert not (command.__doc__ or "").startswith(f"{command.__name__}("), "dataclass's own text says nothing"


def test_every_handler_is_one_of_a_frozen_dataclass() -> None:
    for command in COMMANDS:
        assert command.__dataclass_params__.frozen, command  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", list(sources("domain")), ids=lambda source: source.path)
def test_a_decider_names_every_refusal_that_it_raises(source: Source) -> None:
    for function in _public_functions(source.tree.body):
        named = ast.get_docstring(function) or ""
        for name in _raised(function):
            assert name in named, f"{source.path}:{function.lineno} {function.name} does not say that it raises {name}"


def test_every_event_has_a_stored_name_and_every_name_an_event() -> None:
    assert set(SCRIP.events.values()) == EVENTS
    assert len(SCRIP.events) == len(EVENTS)


@pytest.mark.parametrize("type_", sorted(SCRIP.events))
def test_stored_names_are_versioned_and_have_their_golden_file(type_: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*\.v[1-9][0-9]*", type_)
    assert (ROOT / "tests" / "golden" / f"{type_}.json").exists(), f"write tests/golden/{type_}.json"


def test_the_auditor_knows_every_event_of_an_account() -> None:
    of_accounts = {name for name, event in SCRIP.events.items() if event in get_args(CreditsEvent)}
    assert set(rules._EVENTS) == of_accounts


def _refusals(base: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for refusal in base.__subclasses__():
        if refusal.__module__.startswith("domain."):
            yield refusal
        yield from _refusals(refusal)


REFUSALS = sorted(_refusals(), key=lambda refusal: refusal.__name__)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_every_refusal_has_a_code_a_sentence_and_a_test(refusal: type[Refusal]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", refusal.code)
    assert refusal.__str__ is not Exception.__str__
    text = "".join(source.text for source in sources("tests/domain"))
    assert f"{refusal.__name__}(" in text, f"no rule in tests/domain ends in {refusal.__name__}"


def test_no_two_refusals_share_a_code() -> None:
    codes = [refusal.code for refusal in REFUSALS if refusal.code not in SHARED_CODES]
    assert len(codes) == len(set(codes))


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("folder", [*PRODUCT, "tests"])
def test_every_module_says_what_it_is_for(folder: str) -> None:
    silent = [source.path for source in sources(folder) if source.text.strip() and not ast.get_docstring(source.tree)]
    assert silent == []


@pytest.mark.parametrize("folder", PRODUCT)
def test_everything_public_says_what_it_is_for(folder: str) -> None:
    silent = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources(folder)
        for node in _public(source.tree.body)
        if not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.mark.parametrize("folder", [*PRODUCT, "tests"])
def test_names_say_what_a_file_is_about(folder: str) -> None:
    shapeless = [source.path for source in sources(folder) if SHAPELESS & set(re.split(r"[/_.]", source.path))]
    assert shapeless == []


def test_the_tests_folders_are_packages() -> None:
    """Two test files of one name would else be taken for each other."""
    folders = {(ROOT / source.path).parent for source in sources("tests")}
    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(body: list[ast.stmt]) -> Iterator[Definition]:
    """Public functions and classes of a module. Methods are left to their class where their name says it all."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


def _public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    for node in _public(body):
        if isinstance(node, ast.FunctionDef):
            yield node


def _raised(function: ast.FunctionDef) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised: Any = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            names.add(raised.id if isinstance(raised, ast.Name) else ast.unparse(raised))
    return names


def test_the_order_of_the_tests_names_files_that_are_there() -> None:
    names = {*LONGEST, *SLOW, *(name for names in TOGETHER for name in names)}
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_kit_of_this_file_sees_what_it_is_for() -> None:
    tree = ast.parse(
        inspect.cleandoc("""
        def decide():
            raise TooMany(what="x")
        class _Hidden: ...
        class Shown: ...
    """)
    )
    assert [node.name for node in _public(tree.body)] == ["decide", "Shown"]
    (function,) = _public_functions(tree.body)
    assert _raised(function) == {"TooMany"}
