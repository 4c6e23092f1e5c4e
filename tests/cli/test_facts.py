"""Every command says the same to a person and to a program, whatever the data looks like."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from domain.text import on_one_line as visible
from tests.cli.program import scrip

NASTY = "[bold]x[/] :100: \\[red] \x1b[31mred\x1b[0m \u202edcba \x9b2J [/nothing]"
ID = "user:100:smile:credits"
AT = "2026-01-02T03:04:05Z"
CHECK = {
    "resource": NASTY,
    "subject": ":100:",
    "ok": False,
    "needed": 1100,
    "available": 500,
    "limit": None,
    "deficit": 600,
    "formatted": {"needed": NASTY},
}
ANSWERS: dict[str, Any] = {
    "/balance": {
        "address": ID,
        "exists": False,
        "granted": 1_234_567,
        "available": 7,
        "grants": [{"grant_id": ":warning:", "source": NASTY, "priority": 5, "expires_at": None, "amount": 7}],
    },
    "/events": {
        "items": [
            {
                "position": "0000000000000012",
                "time": AT,
                "type": NASTY,
                "stream": f"account/{ID}",
                "actor": f"worker:{NASTY}",
                "data": {"amount": 98_765},
            }
        ]
    },
    "/explain": {
        "generation_id": ":100:",
        "user_id": "user:smile:",
        "operation": NASTY,
        "provider": "[red]",
        "model": "FLUX.1 [dev]",
        "status": "held",
        "decision": f"Allowed: {NASTY}",
        "checks": [CHECK],
        "holds": [{"resource": "credits", "account": ID, "unit": "credits", "amount": 1_100}],
        "held_from": [],
        "paid_by": [{"account": ID, "grant_id": "[/]", "source": NASTY, "amount": 1_100}],
        "history": [{"at": AT, "actor": NASTY, "text": NASTY}],
    },
    "/verify": {
        "ok": False,
        "sections": [
            {
                "name": "chain",
                "ok": False,
                "checked": {"events": 1_234},
                "seconds": 0.5,
                "first_difference": {"where": ID, "expected": NASTY, "found": "[/]"},
            }
        ],
    },
    "/operations": {
        "quarantine": {"status": "look", "runbook": "quarantine", "message": f"3 of {ID} by the reason {NASTY}."}
    },
    "/rebuilds": {"id": 7},
    "/current": {
        "id": 7,
        "state": "done",
        "done": 4_321,
        "total": 4_321,
        "events_per_second": 1_000,
        "generation": 9,
        "started_at": AT,
        "ended_at": "2026-01-02T03:04:09Z",
    },
    "/refused": {"code": "not_found", "detail": f"There is no {NASTY}."},
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service whose every text is one that a terminal or rich would act on."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            known = ANSWERS.get(f"/{path.rpartition('/')[2]}")
            if path.endswith("/g%3Anone/explain"):
                known = None
            self.send_response(404 if known is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(known or ANSWERS["/refused"]).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def leaves(value: Any) -> Iterator[str | int]:
    """All facts of a document; numbers with a meaning for machines only are left to each command."""
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield value


def of_events(document: Any) -> Iterator[str | int]:
    for event in document:
        yield from (event["type"], event["actor"], event["stream"].removeprefix("account/"), event["data"]["amount"])


def of_explanation(document: Any) -> Iterator[str | int]:
    yield from leaves({name: value for name, value in document.items() if name != "checks"})
    yield from (CHECK["resource"], CHECK["subject"], 500, 600, NASTY)  # type: ignore[misc]


def of_findings(document: Any) -> Iterator[str | int]:
    yield from leaves(document)


def of_settings(document: Any) -> Iterator[str | int]:
    for row in document:
        yield from (row["name"], row["current"], row["default"], row["description"])


def of_sum(document: Any) -> Iterator[str | int]:
    yield from leaves(document["by"])
    yield from (document["rows"], document["credits"])


Facts = Callable[[Any], Iterator[str | int]]
REMOTE: dict[str, tuple[tuple[str, ...], int, Facts]] = {
    "balance": (("balance", ID), 0, leaves),
    "events": (("events",), 0, of_events),
    "explain": (("explain", "g:1"), 0, of_explanation),
    "verify": (("verify",), 1, leaves),
    "doctor": (("doctor",), 0, of_findings),
    "rebuild": (("rebuild",), 0, lambda document: leaves({**document, "seconds": "4.0 s"})),
}


def compare(command: tuple[str, ...], status: int, facts: Facts, **variables: str) -> None:
    told = scrip(*command, "--json", timeout_s=60, COLUMNS="900", **variables)
    assert told.returncode == status, told.stderr
    document = json.loads(told.stdout)
    shown = scrip(*command, timeout_s=60, COLUMNS="900", **variables)
    assert shown.returncode == status, shown.stderr
    found = list(facts(document))
    assert found
    for fact in found:
        text = f"{fact:,}" if isinstance(fact, int) else visible(fact)
        assert text in shown.stdout, f"{text!r} is not in {shown.stdout}"
    for raw in ("\x1b", "\u202e", "\x9b", "💯", "⚠", "😄"):
        assert raw not in shown.stdout + shown.stderr + told.stdout + told.stderr


@pytest.mark.parametrize("name", REMOTE)
def test_a_command_says_the_same_both_ways(name: str, url: str) -> None:
    command, status, facts = REMOTE[name]
    compare((*command, "--url", url, "--token", "t"), status, facts)


def test_settings_are_data_too() -> None:
    nasty = NASTY.replace("\x9b", "")
    compare(("config",), 0, of_settings, SCRIP_LINK_TOKENS=nasty, SCRIP_TOPIC_PREFIX=":100:")


def test_the_sum_of_a_file_is_data_too(tmp_path: Path) -> None:
    file = tmp_path / "[bold] :100:.csv"
    file.write_text(f'user,model,Tokens\n:100:,"{NASTY}",1000\n:smile:,[/],123456789\n')
    command = ("import", str(file), "--account", "user:{user}:credits", "--rate", "Tokens=2", "--dry-run")
    compare(command, 0, of_sum)


def test_an_error_shows_its_data_as_it_is(url: str, tmp_path: Path) -> None:
    answer = scrip("explain", "g:none", "--url", url, "--token", "t")
    assert answer.stderr == f"scrip: 404 not_found: There is no {visible(NASTY)}.\n"
    file = tmp_path / "usage.csv"
    file.write_text(f'user,Tokens\n"{NASTY}",1\n')
    answer = scrip("import", str(file), "--account", "user:{user}:credits", "--rate", "Tokens=2", "--dry-run")
    assert answer.returncode == 1
    assert "\x1b" not in answer.stderr
    assert "[bold]x[/] :100:" in answer.stderr


def test_the_result_is_alone_on_standard_output(url: str) -> None:
    for command in (("rebuild",), ("verify",), ("doctor",)):
        answer = scrip(*command, "--url", url, "--token", "t", "--json")
        json.loads(answer.stdout)
