"""The options that commands share, each written once."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_ORG = "default"
DEFAULT_DATA = Path("scrip-data")

Org = Annotated[str, typer.Option("--org", help="The organisation.", metavar="ORG")]
OwnOrg = Annotated[
    str | None, typer.Option("--org", help="The organisation; with --url by default the token's own.", metavar="ORG")
]
Data = Annotated[
    Path,
    typer.Option(
        "--data", envvar="SCRIP_DATA", help="The folder with the service's data.", metavar="DIR", file_okay=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]
Url = Annotated[
    str, typer.Option("--url", help="Address of a remote service, in place of the one in --data.", metavar="URL")
]
Token = Annotated[
    str, typer.Option("--token", envvar="SCRIP_TOKEN", help="Token or API key for --url.", metavar="TOKEN")
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Port of the API; without it 8080 or, if that is taken, a free one."),
]
KafkaPort = Annotated[
    int | None, typer.Option("--kafka-port", min=1, max=65535, help="Port of Kafka; without it a free one.")
]
