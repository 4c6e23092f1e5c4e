"""`scrip up` is killed, whole and in part, and stopped; its data is all there."""

from infra.embedded.folder import read_running
from tests.cli.program import scrip
from tests.cli.running import GONE_S, Up, gone
from tests.cli.shared import up
from tests.cli.test_up import ACCOUNT, grant
from tests.waiting import wait_until

__all__ = ["up"]


def test_data_survives_a_kill_of_everything_and_a_clean_stop(up: Up) -> None:
    data, first = up.data, up
    grant(first, "survivors", ACCOUNT, 123)
    family = first.family()
    first.kill_everything()
    wait_until(lambda: gone(family), GONE_S, "everything has ended")

    second = Up(data).await_ready()
    assert second.json("balance", ACCOUNT, "--org", "survivors")["available"] == 123
    grant(second, "survivors", ACCOUNT, 1)
    family = second.family()
    # Only the parent dies: the children must notice.
    second.process.kill()
    second.process.wait(10)
    wait_until(lambda: gone(family), GONE_S, "the children have ended")

    third = Up(data)
    wait_until(lambda: read_running(data) is not None, 30, "it has begun")
    beside = third.json("balance", ACCOUNT, "--org", "survivors")  # beside one that still starts: waits for it
    assert beside["available"] == 124
    third.await_ready()
    family = third.family()
    assert third.terminate() == 0
    assert gone(family)
    assert [line.split(" ")[0] for line in third.lines] == ["kafka", "postgres", "ready"]
    # Without a running service a command starts one of its own, and leaves nothing behind.
    answer = scrip("balance", ACCOUNT, "--org", "survivors", "--data", str(data), "--json", timeout_s=90)
    assert '"available": 124' in answer.stdout
    assert not (data / "state.json").exists()
