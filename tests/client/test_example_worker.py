"""The example worker of the documentation, run as a person runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.api.generating import balance, give
from tests.api.service import Service
from tests.source_tree import ROOT
from tests.waiting import patient

PICTURE = {"operation": "image", "model": "FLUX.1 [dev]"}  # 90 credits


def started(service: Service, journal: Path) -> "subprocess.Popen[str]":
    login = {"SCRIP_URL": service.url, "SCRIP_TOKEN": service.token("worker", "w"), "SCRIP_JOURNAL": str(journal)}
    program = [sys.executable, str(ROOT / "docs" / "examples" / "worker.py")]
    return subprocess.Popen(
        program,
        env=os.environ | login,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def lines(*jobs: dict[str, Any]) -> str:
    return "".join(json.dumps(job) + "\n" for job in jobs)


def test_it_settles_each_job_by_its_outcome(service: Service, tmp_path: Path, user: str) -> None:
    give(service, f"user:{user}:credits", 400)
    created = service.client("user", user).post("/api/v1/generations", json={"id": f"app-{user}", **PICTURE})
    assert created.status_code == 201
    job = {"user": user, **PICTURE}
    jobs = lines(
        {"id": f"fine-{user}", **job},
        {"id": f"blocked-{user}", "prompt": "forbidden", **job},
        {"generation": f"app-{user}"},
        {"id": f"large-{user}", "options": {"count": 5}, **job},
        {"generation": f"app-{user}x"},
    )
    worker = started(service, tmp_path / "j")
    said, _ = worker.communicate(jobs, timeout=patient(60))
    assert (worker.returncode, balance(service, user)) == (0, (220, 0, 180)), said
    assert f"fine-{user}: done, charged 90" in said
    assert f"blocked-{user}: failed and given back, the provider does not take this prompt" in said
    assert f"app-{user}: done, charged 90" in said
    assert f"app-{user}x: nothing to do, There is no generation app-{user}x" in said
    assert f"large-{user}: refused, Insufficient credits. You need 450 credits" in said


def test_stopped_it_gives_back_what_runs(service: Service, tmp_path: Path, user: str) -> None:
    give(service, f"user:{user}:credits", 100)
    worker = started(service, tmp_path / "j")
    assert worker.stdin is not None
    worker.stdin.write(lines({"user": user, "seconds": 60, **PICTURE}))
    worker.stdin.flush()
    while balance(service, user) != (10, 90, 0):
        assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    worker.stdin.close()
    assert balance(service, user) == (100, 0, 0)
