"""A worker that stops at a moment and waits to be killed: `dying_worker.py URL TOKEN JOURNAL USER MOMENT`."""

import signal
import sys
from pathlib import Path

import httpx
from scrip_client import Scrip


def stop_here(moment: str) -> None:
    """Say so, and never go on."""
    sys.stdout.write(f"{moment}\n")
    sys.stdout.flush()
    signal.pause()


class Wire(httpx.HTTPTransport):
    """Stops once a settlement's answer is there and before anybody has read it."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if moment == "sent" and request.url.path.endswith("/confirm"):
            answer.read()
            stop_here(moment)
        return answer


url, token, journal, user, moment = sys.argv[1:]
with (
    Scrip(url, token=token, journal=Path(journal), transport=Wire()) as scrip,
    scrip.generation(user=user, operation="image", model="FLUX.1 [dev]", id=f"job-{user}") as g,
):
    if moment == "running":
        stop_here(moment)
    g.confirm(content_bytes=1_000)
    if moment == "ran":
        stop_here(moment)
