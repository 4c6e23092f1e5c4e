"""`scrip up` and the operators' commands on it, from the outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from cli.service.role_process import AHEAD, BEHIND
from tests.cli.program import PROGRAM, environment, scrip
from tests.cli.running import ADDRESSES, Up, gone
from tests.cli.shared import up
from tests.waiting import wait_until

__all__ = ["up"]

ACCOUNT = "user:u_1:credits"
ROWS = "time,Tokens\nt1,1000\nt2,2500\nt2,2500\n"


def grant(up: Up, org: str, account: str, amount: int) -> None:
    with up.client(org) as client:
        body = {"amount": amount, "source": "purchase"}
        answer = client.post(f"/api/v1/accounts/{account}/grants", json=body)
        assert answer.status_code == 201, answer.text


def test_it_says_where_everything_is(up: Up) -> None:
    assert [line.split(" ")[0] for line in up.lines] == ["kafka", "postgres", "ready"]
    for line, form in zip(up.lines, ADDRESSES.values(), strict=True):
        assert form.fullmatch(line), line
    assert httpx.get(f"{up.url}/livez", trust_env=False).status_code == 200
    host, port = up.said("kafka").split(":")
    socket.create_connection((host, int(port)), timeout=5).close()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_what_somebody_waits_for_goes_before_what_nobody_waits_for(up: Up) -> None:
    niceness = {name: process.nice() for name, process in up.processes().items()}
    own = psutil.Process().nice()
    assert niceness.pop("role-api") == (AHEAD if may_go_ahead() else own)
    assert niceness.pop("postgres") == own
    assert niceness["kafka"] == BEHIND
    assert set(niceness.values()) == {BEHIND}


def may_go_ahead() -> bool:
    """Whether this user's processes may have a niceness below 0."""
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, AHEAD)
        except PermissionError:
            return False
        else:
            return True
        finally:
            process.kill()


def test_the_printed_database_login_may_only_read(up: Up) -> None:
    with psycopg.connect(up.said("postgres"), autocommit=True) as connection:
        assert connection.execute("select partitions from log").fetchone() == (12,)
        for change in ("delete from events", "update log set partitions = 1", "create table t (a int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change)


def test_one_owner_of_a_folder(up: Up) -> None:
    second = scrip("up", "--data", str(up.data))
    assert second.returncode == 1
    assert f"is in use by process {up.process.pid}" in second.stderr
    assert second.stdout == ""


def test_a_port_in_use_is_one_sentence(up: Up, tmp_path: Path) -> None:
    port = up.url.rpartition(":")[2]
    second = scrip("up", "--port", port, "--data", str(tmp_path / "other"))
    assert second.returncode == 1
    assert second.stderr.strip().endswith(
        f"Port {port} on 127.0.0.1 is already in use; stop what uses it or choose another port."
    )


def test_operators_read_what_was_done(up: Up) -> None:
    grant(up, "readers", ACCOUNT, 5_000)
    balance = up.json("balance", ACCOUNT, "--org", "readers")
    assert (balance["granted"], balance["available"]) == (5_000, 5_000)
    shown = up.run("balance", ACCOUNT, "--org", "readers")
    assert "5,000" in shown.stdout
    (event,) = up.json("events", "--org", "readers")
    assert event["type"] == "credits-granted.v1"
    assert up.json("events", "--org", "readers", "--type", "credits-debited.v1") == []
    assert "credits-granted.v1" in up.run("events", "--org", "readers").stdout


def test_an_import_charges_each_row_once(up: Up, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(ROWS)
    command = ("import", str(file), "--account", ACCOUNT, "--rate", "Tokens=2", "--org", "importers")
    refused = up.run(*command)
    assert refused.returncode == 1
    assert "insufficient_credits" in refused.stdout
    grant(up, "importers", ACCOUNT, 100)
    assert figures(up.json(*command)) == (3, 3, 0, 0, 12)
    assert figures(up.json(*command)) == (3, 0, 3, 0, 0)
    file.write_text(ROWS + "t3,1\n")
    assert figures(up.json(*command)) == (4, 1, 3, 0, 1)
    balance = up.json("balance", ACCOUNT, "--org", "importers")
    assert (balance["debited"], balance["available"]) == (13, 87)


def figures(tally: dict[str, Any]) -> tuple[int, ...]:
    names = ("rows", "applied", "already_applied", "refused", "credits_debited")
    return tuple(tally[name] for name in names)


def test_an_import_may_be_priced_by_the_price_book(up: Up, tmp_path: Path) -> None:
    grant(up, "priced", "user:ann:credits", 2_000)
    file = tmp_path / "usage.csv"
    file.write_text(
        "time,user,operation,provider,model,resolution,duration\n"
        "t1,ann,video,MiniMax,MiniMax-Hailuo-02,1080P,6\n"
        "t2,ann,image,BFL,FLUX.1 [dev],,\n"
        "t3,ann,video,MiniMax,MiniMax-Hailuo-02,1080P,10\n"
    )
    answer = up.run("import", str(file), "--org", "priced", "--json")
    assert answer.returncode == 1  # 1080P for 10 s has no price
    assert '"unpriced": 1' in answer.stdout
    assert '"credits_debited": 1190' in answer.stdout


TOKENS = "user,operation,model,input_tokens,output_tokens\nann,chat,chat-1,1000000,250\n"


@pytest.fixture(scope="module")
def priced_by_tokens(up: Up) -> Up:
    """The price book with a model whose hold is flat and whose use is priced by tokens."""
    entry = {"model": "chat-1", "operation": "chat", "credits": 5, "rates": {"input_tokens": 3, "output_tokens": 9}}
    with up.client("tokens") as client:
        book = client.get("/api/v1/prices").json()
        answer = client.put("/api/v1/prices", json={"entries": [*book["entries"], entry]})
        assert answer.status_code == 200, answer.text
        wait_until(
            lambda: client.get("/api/v1/prices").json()["version"] == answer.json()["version"], 20, "the new prices"
        )
    return up


def test_token_columns_are_charged_by_the_rates(priced_by_tokens: Up, tmp_path: Path) -> None:
    up = priced_by_tokens
    grant(up, "tokens", "user:ann:credits", 10_000)
    file = tmp_path / "usage.csv"
    file.write_text(TOKENS)
    command = ("import", str(file), "--org", "tokens")
    planned = up.json(*command, "--dry-run")
    assert (planned["dry_run"], planned["credits"]) == (True, 3_003)
    assert planned["by"] == [{"account": "user:ann:credits", "model": "chat-1", "rows": 1, "credits": 3_003}]
    assert up.json("balance", "user:ann:credits", "--org", "tokens")["debited"] == 0
    assert figures(up.json(*command)) == (1, 1, 0, 0, 3_003)
    assert figures(up.json(*command)) == (1, 0, 1, 0, 0)


def test_a_faulty_line_stops_the_import_before_anything_is_sent(priced_by_tokens: Up, tmp_path: Path) -> None:
    up = priced_by_tokens
    grant(up, "faulty", "user:ann:credits", 10_000)
    file = tmp_path / "usage.csv"
    for text, said in (
        (TOKENS + "José,chat,chat-1,1,1\n", "line 3: user is 'José'; allowed is letters"),
        (
            TOKENS.replace("input_tokens", "cached_tokens"),
            "line 2: cached_tokens is '1000000'; allowed is nothing",
        ),
        (TOKENS.replace("input_tokens", "prompt"), "line 1: it is not known what the columns 'prompt' are"),
    ):
        file.write_text(text)
        began = time.monotonic()
        answer = up.run("import", str(file), "--org", "faulty")
        assert time.monotonic() - began < 20
        assert answer.returncode == 1
        assert said in answer.stderr
        assert "nothing was sent" in answer.stderr
        assert answer.stdout == ""
        told = up.run("import", str(file), "--org", "faulty", "--json")
        assert told.returncode == 1
        assert json.loads(told.stdout)["faults"][0]["line"] in (1, 2, 3)
    balance = up.json("balance", "user:ann:credits", "--org", "faulty")
    assert (balance["debited"], balance["available"]) == (0, 10_000)


def test_each_user_of_a_file_pays_and_a_column_may_be_the_identity(up: Up, tmp_path: Path) -> None:
    for user in ("ann", "ben"):
        grant(up, "each", f"user:{user}:credits", 100)
    file = tmp_path / "usage.csv"
    file.write_text("request,user,Tokens\nr-1,ann,1000\nr-2,ben,2000\nr-1,ann,1000\n")
    command = ("import", str(file), "--account", "user:{user}:credits", "--rate", "Tokens=2", "--org", "each")
    told = up.json(*command, "--id", "request")
    assert figures(told) == (3, 2, 0, 0, 6)
    assert told["repeated_in_file"] == 1
    file.write_text("request,user,Tokens,note\nr-1,ann,1000,exported anew\nr-3,ben,1000,\n")
    assert figures(up.json(*command, "--id", "request")) == (2, 1, 1, 0, 2)
    balances = [up.json("balance", f"user:{user}:credits", "--org", "each")["debited"] for user in ("ann", "ben")]
    assert balances == [2, 6]


def test_a_file_imported_over_the_network_is_the_same_file(up: Up, tmp_path: Path) -> None:
    grant(up, "networked", ACCOUNT, 100)
    file = tmp_path / "usage.csv"
    file.write_text(ROWS)
    command = ("import", str(file), "--account", ACCOUNT, "--rate", "Tokens=2", "--org", "networked")
    remote = (*command, "--url", up.url, "--token", up.token("networked", "worker"), "--json")
    servers = ("--kafka", up.said("kafka"), "--postgres", up.said("postgres"))
    refused = scrip(*remote)
    assert refused.returncode == 1
    assert "with --url say --kafka HOST:PORT and --postgres URI too" in refused.stderr
    assert figures(json.loads(scrip(*remote, *servers, timeout_s=120).stdout)) == (3, 3, 0, 0, 12)
    assert figures(up.json(*command)) == (3, 0, 3, 0, 0)


def test_standard_input_is_imported(up: Up, tmp_path: Path) -> None:
    grant(up, "piped", ACCOUNT, 100)
    command = [*PROGRAM, "import", "-", "--account", ACCOUNT, "--rate", "Tokens=2", "--org", "piped", "--json"]
    piped = subprocess.run(
        [*command, "--data", str(up.data)],
        input=ROWS,
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=120,
    )
    assert figures(json.loads(piped.stdout)) == (3, 3, 0, 0, 12)


def test_verify_and_rebuild(up: Up) -> None:
    grant(up, "audited", ACCOUNT, 10)
    report = up.json("verify")
    assert report["ok"] is True
    assert all(section["checked"] for section in report["sections"])
    rebuilt = up.json("rebuild")
    assert rebuilt["events"] > 0
    assert up.json("verify")["ok"] is True
    remote = ("--url", up.url, "--token", up.token("audited", "admin"))
    again = json.loads(scrip("rebuild", *remote, "--json", timeout_s=120).stdout)
    assert again["generation"] > rebuilt["generation"]
    assert again["events"] >= rebuilt["events"]
    for document in (up.json("verify"), json.loads(scrip("verify", *remote, "--json", timeout_s=120).stdout)):
        assert document["ok"] is True
    assert scrip("verify", *remote, timeout_s=120).stdout.endswith("verify holds\n")


def test_an_absent_account_is_all_zeros(up: Up) -> None:
    assert up.json("balance", "user:nobody:credits")["available"] == 0


def test_a_remote_service_by_url_and_token(up: Up) -> None:
    grant(up, "remote", ACCOUNT, 7)
    token = up.token("remote", "auditor")
    answer = scrip("balance", ACCOUNT, "--org", "remote", "--url", up.url, "--token", token, "--json")
    assert '"available": 7' in answer.stdout
    without = scrip("balance", ACCOUNT, "--url", up.url)
    assert without.returncode == 1
    assert without.stderr.startswith("scrip: With --url a token is needed")


@pytest.mark.parametrize("name", ["relay", "projector", "intake", "sweeper", "notifier", "api"])
def test_a_role_that_dies_is_started_again(up: Up, name: str) -> None:
    before = up.processes()[f"role-{name}"]
    before.send_signal(signal.SIGKILL)
    before.wait(10)
    note = up.data / "run" / f"{name}.ready"
    wait_until(lambda: up.processes().get(f"role-{name}") not in (None, before) and note.exists(), 30, f"{name} again")
    org = f"after-{name}"
    grant(up, org, ACCOUNT, 3)
    with up.client(org, "auditor") as client:
        assert client.get(f"/api/v1/accounts/{ACCOUNT}/balance").json()["available"] == 3


def test_a_signal_while_it_starts_stops_it_cleanly(tmp_path: Path) -> None:
    service = Up(tmp_path / "data")
    wait_until((tmp_path / "data" / "state.json").exists, 30, "it has begun")
    family = service.family()
    assert service.terminate() == 0
    assert gone(family)


def test_there_is_no_service_where_nothing_is(tmp_path: Path) -> None:
    answer = scrip("balance", ACCOUNT, "--data", str(tmp_path / "nothing"))
    assert answer.returncode == 1
    assert answer.stderr.startswith("scrip: There is no service in ")
    assert not (tmp_path / "nothing").exists()
