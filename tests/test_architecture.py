"""Who may import whom, and what no file may contain. Every ban says what to use in its place."""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import pytest

from domain.resources.table import RESOURCES
from tests.source_tree import PRODUCT, Source, called, dotted, sources

# Which folders of ours a folder may import, itself included (architecture, "Folders").
MAY_IMPORT: dict[str, set[str]] = {
    "domain": {"domain"},
    "projections": {"projections", "domain"},
    "infra": {"infra", "domain"},
    "consumers": {"consumers", "projections", "infra", "domain"},
    "api": {"api", "projections", "infra", "domain"},
    "console": {"console"},
    "client": {"client"},
    "cli": {"cli", "console", "api", "consumers", "projections", "infra", "domain", "benchmarks"},
    "benchmarks": {"benchmarks", "cli", "console", "api", "consumers", "projections", "infra", "domain"},
}
# Packages from outside, where a folder must do with few.
LIBRARIES: dict[str, set[str]] = {"domain": {"immutables", "rpds"}, "projections": {"psycopg"}}
# What would make a decision depend on more than its arguments.
IMPURE = {"time", "random", "secrets", "uuid", "os", "socket", "threading", "asyncio", "pathlib", "subprocess"}

_PARTS_OF_A_DOMAIN = {"deciders", "answerers", "kinds", "events", "upcasters"}  # and the tables they are made from

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 600
SMALL_FILE_LINES = 100

# Small files that one other file of the product imports, or a folder of them -> why they are not a part of it.
# An entry that is no longer needed fails a test.
SMALL_FILES: dict[str, str] = {
    "cli/commands/": "light: help loads all of them, and what they work with when one runs",
    "console/navigation.py": "the menu, where a page is added",
    "console/support.py": "the pages of support, which a reader looks for by name",
    "consumers/intake/retry.py": "what the API does with a row of quarantine, apart from the role that reads the topic",
    "benchmarks/projector.py": "run by its name, and its filled topic serves another benchmark",
    "benchmarks/relay.py": "run by its name, and its waiting for the relay serves another benchmark",
}

# (ban, file) -> why it must be so there. An entry that is no longer needed fails a test.
FLOATS = "floating point beside amounts"
CALLS_FLOAT = "float() of input"
NAMED_RESOURCE = "a resource by its name"
ALLOWED: dict[tuple[str, str], str] = {
    (FLOATS, "projections/rebuild.py"): "seconds and events per second, for the progress bar; no amount",
    (CALLS_FLOAT, "infra/strict_json.py"): "tells whether a number is finite; amounts are never floats",
    (CALLS_FLOAT, "infra/security/tokens.py"): "RFC 7519 lets `exp` be a fraction of a second",
    (CALLS_FLOAT, "api/operator/watch.py"): "seconds that the read models are behind, from PostgreSQL's numeric",
    ("the process's wall clock", "console/analytics.py"): "up to which day charts go, for people; nothing is decided",
    ("the process's wall clock", "benchmarks/figures.py"): "the day on which a figure was measured, for people",
    ("a sleep for luck", "tests/infra/relaying.py"): "the writer that sleeps between insert and commit is the test",
    (FLOATS, "domain/resources/storage.py"): "the percentage of storage for people; nothing is decided from it",
    (NAMED_RESOURCE, "domain/generations/events.py"): "the stored quote has places for the first units",
    (NAMED_RESOURCE, "domain/generations/told.py"): "the answer has fields for the first units (S0)",
    (NAMED_RESOURCE, "domain/generations/refusals.py"): "the name of a field of the request, in a refusal of it",
    (NAMED_RESOURCE, "domain/generations/state.py"): "a status has the same name as what counts those that run",
}

Ban = Callable[[Source], Iterator[int]]  # the lines where a file breaks it


def _calls(*names: str) -> Ban:
    def lines(source: Source) -> Iterator[int]:
        for node in ast.walk(source.tree):
            if called(node) in names:
                yield _line(node)

    return lines


def _calls_float(source: Source) -> Iterator[int]:
    """Calls of `float` but for infinity, which is no amount."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and called(node) == "float":
            given = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if given not in (["inf"], ["-inf"]):
                yield node.lineno


def _floats(source: Source) -> Iterator[int]:
    """`float` as a type or a call, and true division, where amounts live."""
    for node in ast.walk(source.tree):
        if (isinstance(node, ast.Name) and node.id == "float") or (
            isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div) and source.folder == "domain"
        ):
            yield _line(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and source.folder == "domain":
            yield node.lineno


OUTPUT = "cli/output.py"
# What writes to a screen, and what reads its text as markup where the console does not say otherwise.
_SCREENS = {"Console", "rich.print", "typer.echo", "typer.secho", "click.echo"}
_READS_MARKUP = {"Panel", "Spinner", "Status", "Table", "TextColumn", "Rule", "Tree", "Prompt"}


def _markup(source: Source) -> Iterator[int]:
    """Ways round cli/output.py: screens of their own, and text (not a Text) where rich looks for markup."""
    if source.path == OUTPUT:
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        last = name.rpartition(".")[2]
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        given = [*node.args, *(value for name_, value in named.items() if name_ in {"title", "caption", "text"})]
        direct = name in _SCREENS or last in {"from_markup", "render_str"}
        text = (last in _READS_MARKUP or (last == "print" and name != last)) and any(map(_is_text, given))
        spinner = last == "status" and name != last and [called(value) for value in given] not in ([], ["cell"])
        switched_on = any(_is_true(named.get(switch)) for switch in ("markup", "emoji"))
        if direct or text or spinner or switched_on:
            yield node.lineno


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str))


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def _bare_excepts(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno


def _silent_excepts(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.ExceptHandler)
            and dotted(node.type or node) in {"Exception", "BaseException"}
            and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
        ):
            yield node.lineno


def _words(*words: str) -> Ban:
    def lines(source: Source) -> Iterator[int]:
        for number, line in enumerate(source.text.splitlines(), 1):
            if any(word in line for word in words):
                yield number

    return lines


def _long_functions(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield node.lineno


def _long_files(source: Source) -> Iterator[int]:
    lines = source.text.count("\n")
    if lines > MAX_FILE_LINES:
        yield lines


def _event_by_place(source: Source) -> Iterator[int]:
    """`….events[0]`: an event that is known by its place among others."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Subscript) and dotted(node.value).endswith(".events"):
            yield node.lineno


def _lists_of_pairs(source: Source) -> Iterator[int]:
    """Streams with events, handed around in a list."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node) == "list[tuple[str, Any]]":
            yield node.lineno


def _patched_domain(source: Source) -> Iterator[int]:
    """A patch of what a `Domain` is made of."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and called(node).endswith((".setitem", ".delitem")) and node.args:
            part = dotted(node.args[0]).rpartition(".")[2].lower()
            if part in _PARTS_OF_A_DOMAIN:
                yield node.lineno


def _names_resource(source: Source) -> Iterator[int]:
    """The quoted name of a limited resource."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and node.value in RESOURCES.by_name:
            yield node.lineno


def _sleeps_for_luck(source: Source) -> Iterator[int]:
    """A sleep that is not the pause of a loop which looks again."""
    in_loops = {
        id(inner)
        for loop in ast.walk(source.tree)
        if isinstance(loop, ast.While | ast.For | ast.AsyncFor)
        for inner in ast.walk(loop)
    }
    for node in ast.walk(source.tree):
        if called(node) in ("time.sleep", "sleep") and id(node) not in in_loops:
            yield _line(node)


def _waits_without_limit(source: Source) -> Iterator[int]:
    """A wait in a thread for a process, a thread or another thread's word that would last for ever if it did not come.

    What asyncio waits for is not meant: `asyncio.timeout` around it or the test's own limit ends it.
    """
    in_asyncio = {
        id(inner)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Await) or (isinstance(node, ast.Call) and called(node).startswith("asyncio."))
        for inner in ast.walk(node)
    }
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or id(node) in in_asyncio:
            continue
        given = {keyword.arg for keyword in node.keywords}
        runs = called(node) in {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")}
        waits = isinstance(node.func, ast.Attribute) and (
            (node.func.attr in ("wait", "join") and not node.args) or node.func.attr == "communicate"
        )
        if (runs or waits) and not given & {"timeout", None}:
            yield node.lineno


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


# What is banned -> where, how it is found, and what to use in its place.
BANS: dict[str, tuple[tuple[str, ...], Ban, str]] = {
    "the process's wall clock": (
        PRODUCT,
        _calls(
            *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
            *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"),
        ),
        "`now`, which the writer reads from the database (`scrip_now()`); `time.monotonic()` for waiting",
    ),
    FLOATS: (
        ("domain", "projections"),
        _floats,
        "whole numbers in the smallest unit, and // with the rounding written out",
    ),
    CALLS_FLOAT: (
        ("domain", "projections", "consumers", "infra", "api"),
        _calls_float,
        "int, or a field that pydantic checks",
    ),
    "print": (PRODUCT, _calls("print"), "structlog in services, the console of cli/output.py for people"),
    "data that a screen may read as markup": (
        ("cli",),
        _markup,
        "say, complain, say_json, say_table, status, progress or cell of cli/output.py, which show data as it is",
    ),
    "a bare except": ((*PRODUCT, "tests"), _bare_excepts, "the exceptions that can be answered, by name"),
    "an exception that is swallowed": (PRODUCT, _silent_excepts, "a narrow type, or a retry, or a log line and a stop"),
    "an unfinished note": (
        (*PRODUCT, "tests"),
        _words("TO" + "DO", "FIX" + "ME", "XX" + "X"),
        "the work itself, or an issue",
    ),
    "a sleep for luck": (
        ("tests",),
        _sleeps_for_luck,
        "a loop that looks for the condition until a deadline",
    ),
    "an event by its place": (("api", "consumers"), _event_by_place, "`Outcome.one` and `Outcome.all`, by type"),
    "events in a list of pairs": (("domain",), _lists_of_pairs, "`Work.emit`"),
    NAMED_RESOURCE: (("domain/generations",), _names_resource, "a method of `Resource`, and its module's answer"),
    "a domain that is patched": (
        ("tests",),
        _patched_domain,
        "a Domain of the test's own: `SCRIP.joined(…)`, `SCRIP.with_decider(…)`",
    ),
    "a wait without a limit": (
        ("tests",),
        _waits_without_limit,
        "`timeout=`, `ENOUGH_S` and `joined` of tests/waiting.py",
    ),
    f"a function of more than {MAX_FUNCTION_LINES} lines": (PRODUCT, _long_functions, "several, each with a name"),
    f"a file of more than {MAX_FILE_LINES} lines": (PRODUCT, _long_files, "several, one subject each"),
}


@pytest.mark.parametrize("ban", BANS)
def test_nothing_banned_is_used(ban: str) -> None:
    folders, lines, instead = BANS[ban]
    found = [
        f"{source.path}:{line}"
        for source in sources(*folders)
        if (ban, source.path) not in ALLOWED
        for line in lines(source)
    ]
    assert not found, f"{ban}: use {instead}. Found in {', '.join(found)}"


@pytest.mark.parametrize(("ban", "path"), list(ALLOWED))
def test_every_exception_to_a_ban_is_needed_and_has_its_reason(ban: str, path: str) -> None:
    folders, lines, _ = BANS[ban]
    (source,) = (one for one in sources(*folders) if one.path == path)
    assert list(lines(source)), f"{path} no longer needs its exception from the ban of {ban}"
    assert len(ALLOWED[ban, path]) > 20


@pytest.mark.parametrize("folder", PRODUCT)
def test_a_folder_imports_only_what_it_may(folder: str) -> None:
    wrong = [
        f"{source.path}:{line} imports {name}"
        for source in sources(folder)
        for line, name in _imports(source)
        if not _may_import(folder, name)
    ]
    assert not wrong, "; ".join(wrong)


def test_only_what_starts_a_process_names_the_registry() -> None:
    """Whatever else needs the domain is handed it, so that a test or another domain can hand it another."""
    wrong = [
        f"{source.path}:{line} imports {name}"
        for source in sources("domain", "projections", "infra")
        for line, name in _imports(source)
        if name == "domain.registry"
    ]
    assert not wrong, f"take a Domain as an argument: {'; '.join(wrong)}"


def test_decisions_depend_on_their_arguments_only() -> None:
    wrong = [
        f"{source.path}:{line} imports {name}"
        for source in sources("domain")
        for line, name in _imports(source)
        if name.split(".")[0] in IMPURE
    ]
    assert not wrong, f"pass it in as an argument: {'; '.join(wrong)}"


def test_the_reference_shares_no_code_with_the_ledger() -> None:
    """The auditor's second implementation would otherwise repeat a mistake of the first."""
    ours = (
        "domain",
        "projections",
        "infra.log.chain",
        "infra.log.mapper",
        "infra.writer",
        "infra.kafka.record",
        "infra.relay",
    )
    wrong = [
        f"{source.path}:{line} imports {name}"
        for source in sources("infra/audit")
        for line, name in _imports(source)
        if name.startswith(ours)
    ]
    assert not wrong, "; ".join(wrong)


def test_only_the_log_knows_the_librarys_classes() -> None:
    """Everybody else has them by way of `infra/log`: what the library changes is changed in one folder."""
    wrong = [
        f"{source.path}:{line}"
        for source in sources(*PRODUCT)
        for line, name in _imports(source)
        if name.split(".")[0] == "eventsourcing" and not source.path.startswith("infra/log/")
    ]
    assert not wrong, "; ".join(wrong)


def _imports(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.path}:{node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""


def test_no_module_imports_itself_by_a_way_round() -> None:
    circle = _circle(sources(*PRODUCT, "tests"))
    assert not circle, f"hand over what the inner module needs: {'; '.join(circle)}"


@pytest.mark.parametrize(
    "way_back",
    [
        "from api import one",
        "if TYPE_CHECKING:\n    import api.one",
        "def late():\n    from api.one import something",
    ],
)
def test_a_circle_of_imports_is_found(way_back: str) -> None:
    texts = {"api/one.py": "from api.two import something", "api/two.py": "import api.three", "api/three.py": way_back}
    circle = _circle(Source(path, text, ast.parse(text)) for path, text in texts.items())
    assert {imported.split(":")[0] for imported in circle} == set(texts)


def test_a_small_file_with_one_importer_has_its_reason() -> None:
    """Elsewhere it belongs in its importer: each file that a reader passes must decide something."""
    folders = sorted({path.split("/")[0] for path in SMALL_FILES})
    small = [path for path in _with_one_importer() if path.split("/")[0] in folders]
    unexplained = [path for path in small if not any(path.startswith(start) for start in SMALL_FILES)]
    assert not unexplained, f"move them into what imports them: {', '.join(unexplained)}"
    unneeded = [start for start in SMALL_FILES if not any(path.startswith(start) for path in small)]
    assert not unneeded, f"no reason is needed any more: {', '.join(unneeded)}"


def _with_one_importer() -> list[str]:
    product = {_module(source.path): source for source in sources(*PRODUCT)}
    importers: Counter[str] = Counter()
    for source in product.values():
        importers.update({name for name, _ in _imported(source, product)})
    return [
        source.path
        for name, source in product.items()
        if importers[name] == 1
        and source.text.count("\n") < SMALL_FILE_LINES
        and not source.path.endswith("/__init__.py")
    ]


def _circle(given: Iterable[Source]) -> list[str]:
    """The imports of one circle, with file and line. Empty if there is none.

    Imports that only type checkers follow and those inside functions count: the modules need each other all the same.
    """
    modules = {_module(source.path): source for source in given}
    imports = {name: dict(_imported(source, modules)) for name, source in modules.items()}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as found:
        return [
            f"{modules[importer].path}:{imports[importer][imported]} imports {imported}"
            for imported, importer in pairwise(found.args[1])
        ]
    return []


def _module(path: str) -> str:
    return path.removeprefix("client/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(source: Source, modules: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Which of the modules a file imports, and in which line. `from a import b` imports a.b if that is a module."""
    for node in ast.walk(source.tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else node.module or "" for name in whole]
        yield from ((name, _line(node)) for name in names if name in modules)


def _may_import(folder: str, name: str) -> bool:
    package = name.split(".", 1)[0]
    if package in (*PRODUCT, "tests"):
        return package in MAY_IMPORT[folder]
    if package in sys.stdlib_module_names:
        return True
    return folder not in LIBRARIES or package in LIBRARIES[folder]


# The bans themselves: each finds what it is for. A ban that finds nothing protects nobody.
CAUGHT = {
    "the process's wall clock": "from datetime import datetime\nnow = datetime.now()",
    "floating point beside amounts": "half = 3 / 2",
    "float() of input": "amount = float('1.5')",
    "print": "print('x')",
    "data that a screen may read as markup": "console().print(f'{account} has {amount}')",
    "a bare except": "try:\n    pass\nexcept:\n    raise",
    "an exception that is swallowed": "try:\n    x = 1\nexcept Exception:\n    pass",
    "an unfinished note": "# TO" + "DO later",
    "a sleep for luck": "import time\ntime.sleep(1)",
    "an event by its place": "first = outcome.events[0][1]",
    "events in a list of pairs": "events: list[tuple[str, Any]] = []",
    NAMED_RESOURCE: "paid = held.resource == 'credits'",
    "a domain that is patched": "patch.setitem(SCRIP.deciders, Debit, mine)",
    "a wait without a limit": "import subprocess\nsubprocess.run(['true'], check=True)",
    f"a function of more than {MAX_FUNCTION_LINES} lines": "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES,
    f"a file of more than {MAX_FILE_LINES} lines": "x = 1\n" * (MAX_FILE_LINES + 1),
}


@pytest.mark.parametrize("ban", BANS)
def test_a_ban_finds_what_it_is_for(ban: str) -> None:
    text = CAUGHT[ban]
    assert list(BANS[ban][1](Source("domain/example.py", text, ast.parse(text))))


def test_a_pause_in_a_loop_that_looks_again_is_no_sleep_for_luck() -> None:
    text = "import time\nwhile not done():\n    time.sleep(0.01)\n"
    assert not list(_sleeps_for_luck(Source("tests/example.py", text, ast.parse(text))))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("thread.join()", True),
        ("child.wait()", True),
        ("child.communicate(b'x')", True),
        ("child.communicate(timeout=5)", False),
        ("subprocess.run(command, **options)", False),
        ("thread.join(5)", False),
        ("', '.join(names)", False),
        ("async def f():\n    await ready.wait()", False),
        ("asyncio.create_task(ready.wait())", False),
    ],
)
def test_waits_without_a_limit_are_seen(text: str, found: bool) -> None:
    assert bool(list(_waits_without_limit(Source("tests/example.py", text, ast.parse(text))))) is found


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("screen.print(f'{account}')", True),
        ("console(stderr=True).status(text)", True),
        ("console(stderr=True).status(cell(text))", False),
        ("with status(text): pass", False),
        ("process.status()", False),
        ("Panel(content, title=f'[bold]{org}')", True),
        ("Panel(content, title=cell(org, 'bold'))", False),
        ("Console(stderr=True)", True),
        ("Text.from_markup(reason)", True),
        ("typer.echo(reason)", True),
        ("TextColumn('{task.description}')", True),
        ("made.print(table)", False),
        ("show(f'verifying {section}')", False),
        ("made.print(table, markup=True)", True),
    ],
)
def test_ways_round_the_output_are_found(line: str, caught: bool) -> None:
    assert bool(list(_markup(Source("cli/example.py", line, ast.parse(line))))) is caught


@pytest.mark.parametrize(
    ("folder", "name", "allowed"),
    [
        ("domain", "datetime", True),
        ("domain", "immutables", True),
        ("domain", "pydantic", False),
        ("domain", "infra.log.mapper", False),
        ("projections", "domain.credits.events", True),
        ("projections", "infra.log.mapper", False),
        ("infra", "projections.fold", False),
        ("api", "consumers.usage", False),
        ("api", "fastapi", True),
        ("cli", "consumers.projector", True),
        ("infra", "tests.conftest", False),
    ],
)
def test_the_table_of_imports(folder: str, name: str, allowed: bool) -> None:
    assert _may_import(folder, name) is allowed
