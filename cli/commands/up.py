"""`scrip up`: the whole service on this machine, until Ctrl-C."""

from __future__ import annotations

from cli.options import DEFAULT_DATA, Data, Json, KafkaPort, Port


def up(port: Port = None, kafka_port: KafkaPort = None, data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Run the whole service on embedded PostgreSQL and Kafka until Ctrl-C; its data stays in DIR.

    Prints `kafka HOST:PORT`, `postgres URI` (a read-only login), and `ready URL` once it serves.
    """
    from cli.output import complain
    from cli.service.announce import announce, start_shown
    from cli.service.interrupt import Interrupted, interruptible, run_until_interrupted
    from cli.service.service import Service

    try:
        with interruptible():
            service = Service(data, port=port, kafka_port=kafka_port, notice=complain)
            with start_shown(service):
                announce(service, as_json=as_json)
                run_until_interrupted(service.tend)
    except Interrupted:
        complain("stopped")
