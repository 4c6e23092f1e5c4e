"""What is shown is data: no markup, no emoji, nothing that steers a terminal; colours on a terminal only."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from domain.text import on_one_line as visible
from tests.cli.program import PROGRAM, ROOT, environment, scrip

NASTY = "[bold]x[/] :100: \\[red] \x1b[31mred\x1b[0m \u202edcba\u2066 \x9b2J tab\tline\nnext :warning: [link=a]b [/]"
SHOWN = (
    r"[bold]x[/] :100: \[red] \x1b[31mred\x1b[0m \u202edcba\u2066 \x9b2J tab\tline\nnext"
    " :warning: [link=a]b [/]"
)
EVERYWHERE = """
import json, sys
from cli import output
nasty = json.loads(sys.argv[1])
output.say(nasty)
output.complain(nasty.replace(chr(10), "\\\\n"))
output.say_table(nasty, (nasty, "n"), [(nasty, 1000)])
output.console().print(nasty.split(" ")[0])
with output.status(nasty) as show:
    show(nasty)
with output.progress() as bar:
    bar.add_task(output.visible(nasty), total=1, rate=nasty.split(" ")[0])
"""


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
        env={**environment(COLUMNS="600", **variables), "PYTHONPATH": str(ROOT)},
    )


def test_controls_are_shown_and_all_other_text_is_as_it_is() -> None:
    assert visible(NASTY) == SHOWN
    for text in ("José 你好 🎉 naïve", "user:100:credits", "[/]", "\\["):
        assert visible(text) == text


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}])
def test_no_way_to_the_screen_reads_data_as_markup(variables: dict[str, str]) -> None:
    done = run(EVERYWHERE, json.dumps(NASTY), **variables)
    assert done.stdout.count(SHOWN) == 4
    assert done.stdout.count("[bold]x[/]") == 5
    assert SHOWN in done.stderr
    for control in ("\x1b[31mred", "\u202e", "\x9b", "💯", "⚠"):
        assert control not in done.stdout + done.stderr


def test_json_says_the_same_without_raw_controls() -> None:
    done = run(
        "import json, sys; from cli.output import say_json; say_json([json.loads(sys.argv[1])])", json.dumps(NASTY)
    )
    assert json.loads(done.stdout) == [NASTY]
    assert not {"\x1b", "\u202e", "\x9b", "\u2066"} & set(done.stdout)


def seen_on_a_terminal(*arguments: str, **variables: str) -> str:
    """What a terminal gets of a command."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=environment(**variables),
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # Linux ends a terminal without a program so
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait(30) == 0
    return b"".join(parts).decode()


COLOUR = "\x1b[1m"  # a bold heading: the smallest thing that a terminal shows and a file must not have


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({"TERM": "xterm-256color"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, True)],
)
def test_a_terminal_gets_headings_but_a_dumb_one_none(variables: dict[str, str], expected: bool) -> None:
    assert (COLOUR in seen_on_a_terminal("bench", "--list", **variables)) is expected


def test_a_pipe_gets_plain_text_unless_colours_are_asked_for() -> None:
    assert "\x1b" not in scrip("bench", "--list").stdout
    assert COLOUR in scrip("bench", "--list", FORCE_COLOR="1", TERM="xterm").stdout
    assert "\x1b" not in scrip("bench", "--list", FORCE_COLOR="1", TERM="dumb").stdout
    coloured = "from cli.output import cell, console; console().print(cell('x', 'red'))"
    assert "31m" in run(coloured, FORCE_COLOR="1", TERM="xterm").stdout
    assert "31m" not in run(coloured, FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").stdout
    assert "31m" not in run(coloured, NO_COLOR="1").stdout


def test_text_that_the_terminal_cannot_encode_is_shown_by_its_codes(tmp_path: Path) -> None:
    answer = scrip("config", SCRIP_LINK_TOKENS="/José", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert answer.returncode == 0, answer.stderr
    assert "/Jos\\xe9" in answer.stdout
