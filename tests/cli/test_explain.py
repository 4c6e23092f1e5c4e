"""`scrip explain` says for people what the API's explanation has: the decision, who paid, and what happened since."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

from api.generations.answers import Check, Explanation, Held, Payment, Quote, Step
from tests.cli.program import scrip
from tests.waiting import joined

SENTENCE = "Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short."
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EXPLANATION = Explanation(
    generation_id="g:1",
    user_id="ann",
    operation="video",
    provider="MiniMax",
    model="MiniMax-Hailuo-02",
    status="settled_late",
    allowed=True,
    reason="ok",
    decision="Allowed: all that it needs was there.",
    quote=Quote(credits=1100, tokens=0, usd="0", currency="USD", bytes=10_485_760, plan_tokens=0),
    checks=[
        Check(
            resource="credits",
            subject="credits",
            ok=False,
            reason="insufficient_credits",
            needed=1100,
            available=500,
            limit=None,
            deficit=600,
            message=SENTENCE,
            formatted={"needed": "1.1K", "available": "500", "limit": "none", "deficit": "600"},
        )
    ],
    holds=[
        Held(resource="credits", account="user:ann:credits", unit="credits", amount=1100),
        Held(resource="groups", group="team", unit="video", amount=1),
    ],
    held_from=[],
    paid_by=[
        Payment(debit_id="g:1.1", account="user:ann:credits", grant_id="grant-7", source="promotion", amount=1100)
    ],
    history=[Step(at=AT, position="000007", actor="worker:w", type="generation-settled-late.v1", text="Came late.")],
    position="000007",
)


@contextmanager
def _api(asked: list[str]) -> Iterator[str]:
    """An API that knows one generation; what it was asked for comes into `asked`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers['Scrip-Organisation']} {self.headers['Authorization']}")
            known = self.path.endswith("/g%3A1/explain")
            body = EXPLANATION.model_dump_json() if known else json.dumps({"code": "not_found", "detail": "No such."})
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        joined(thread)


def test_a_generation_is_explained_for_people() -> None:
    asked: list[str] = []
    with _api(asked) as url:
        answer = scrip("explain", "g:1", "--org", "acme", "--url", url, "--token", "t")
    assert answer.returncode == 0, answer.stderr
    assert asked == ["/api/v1/generations/g%3A1/explain acme Bearer t"]
    first, second = answer.stdout.splitlines()[:2]
    assert first == "g:1: video MiniMax MiniMax-Hailuo-02, for ann; it is settled late."
    assert second == "Allowed: all that it needs was there."
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert ["credits", "credits", "NO", "1.1K", "500", "none", "600"] in rows
    assert ["credits", "account", "user:ann:credits", "credits", "1,100"] in rows
    assert ["groups", "group", "team", "video", "1"] in rows
    assert ["user:ann:credits", "grant-7", "promotion", "1,100"] in rows
    assert "Came late." in answer.stdout
    assert "Held from" not in answer.stdout  # what there is none of is left out


def test_a_program_gets_what_the_api_says() -> None:
    with _api([]) as url:
        answer = scrip("explain", "g:1", "--url", url, "--token", "t", "--json")
    assert Explanation.model_validate_json(answer.stdout) == EXPLANATION


def test_an_unknown_generation_is_a_sentence_and_status_1() -> None:
    with _api([]) as url:
        answer = scrip("explain", "nothing", "--url", url, "--token", "t")
    assert answer.returncode == 1
    assert answer.stderr == "scrip: 404 not_found: No such.\n"
    assert not answer.stdout
