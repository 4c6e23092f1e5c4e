"""The only place that talks to a Maven repository, through the library `jgo`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from infra.embedded.errors import JarsUnavailable
from infra.embedded.lock_file import LockedJar

# The broker with StorageTool, and the tools (AclCommand).
ROOTS = ("org.apache.kafka:kafka_2.13:4.1.0", "org.apache.kafka:kafka-tools:4.1.0")
# Kafka Connect comes with the tools, brings 40 jars with a web server, and nothing here uses it.
LEFT_OUT = ("org.apache.kafka", "connect-runtime")
# Kafka logs through slf4j 1.7; without a binding to log4j it would log nothing. Taken without its own
# dependencies: given to the resolver as a root, log4j's version table would replace Kafka's.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"

ATTEMPTS = 3
TIMEOUT_S = 20


def fetch_from_maven(jar: LockedJar, folder: Path) -> Path:
    """Download one jar into `folder` and return its path; JarsUnavailable if that cannot be done now."""
    # Imported here: with a full cache, which is the rule, the library is not needed at all.
    import requests
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, timeout=TIMEOUT_S)
    artifact = context.create_dependency(jar.coordinate).artifact
    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            return artifact.resolve()
        except (requests.RequestException, RuntimeError) as error:
            failure = error
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)  # may be half a file
    raise JarsUnavailable(
        f"Kafka's jar {jar.coordinate} cannot be downloaded ({type(failure).__name__});"
        " the first start needs a network connection (or a proxy in HTTPS_PROXY)."
    ) from failure


def resolve_closure() -> list[tuple[str, Path]]:
    """Every jar that ROOTS need at run time as (coordinate, downloaded file), for a new lock file."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=Path(tempfile.mkdtemp(prefix="jars-lock-")), timeout=TIMEOUT_S)
    left_out = [context.project(*LEFT_OUT)]
    inputs, transitive = context.resolver.resolve([context.create_dependency(root, left_out) for root in ROOTS])
    artifacts = [dependency.artifact for dependency in (*inputs, *transitive)]
    artifacts.append(context.create_dependency(LOG_BINDING).artifact)
    return [(f"{a.groupId}:{a.artifactId}:{a.version}", a.resolve()) for a in artifacts]
