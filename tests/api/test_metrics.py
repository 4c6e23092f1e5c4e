"""What lies undone is in the metrics: holds, quarantine, the read models' lag."""

import psycopg
import pytest

from api.operator import health
from tests.api.service import Service, address


@pytest.fixture
def metrics(service: Service, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The figures without labels after a hold was made, one is in quarantine and the read models have caught up."""
    monkeypatch.setattr(health, "LOOK_EVERY_S", 0.0)
    account = f"/api/v1/accounts/{address()}"
    client = service.client()
    assert client.post(f"{account}/grants", json={"amount": 10, "source": "gift"}).status_code == 201
    assert client.post(f"{account}/reservations", json={"amount": 5}).status_code == 201
    service.project()
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute("update read_g1.reservations set created_at = created_at - interval '1 hour'")
        connection.execute(
            "insert into quarantine (id, org, source, event_id, reason, detail, body)"
            " values ('metrics', 'acme', 's', 'e', 'unpriced', 'd', 'sealed')"
        )
    lines = service.client(None).get("/metrics").text.splitlines()
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute("delete from quarantine where id = 'metrics'")
    return {name: float(value) for name, _, value in (line.partition(" ") for line in lines if line[0] != "#")}


def test_what_lies_undone_is_shown(metrics: dict[str, float]) -> None:
    assert 3_600 <= metrics["scrip_oldest_hold_seconds"] < 4_000
    assert metrics["scrip_overdue_seconds"] == 0
    assert metrics["scrip_quarantined"] == 1
    assert metrics["scrip_read_model_stopped_partitions"] == 0
    assert (metrics["scrip_unpublished_alerts"], metrics["scrip_pending_deliveries"]) == (0, 0)


def test_the_log_and_its_writers_are_shown(metrics: dict[str, float]) -> None:
    partitions = [value for name, value in metrics.items() if name.startswith("scrip_log_events_total{")]
    lags = [value for name, value in metrics.items() if name.startswith("scrip_read_model_lag_events{")]
    assert sum(partitions) > 0
    assert lags == [0] * len(partitions)
    assert metrics['scrip_writer_events_total{type="credits-reserved.v1"}'] >= 1
    assert metrics["scrip_writer_batch_seconds_count"] >= 1
    assert metrics["process_resident_memory_bytes"] > 0
