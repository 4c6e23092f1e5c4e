"""`If-Match` on what is changed in parts: the ETag of what was read, 412 where it has changed since."""

from hashlib import sha256
from typing import Any

import msgspec

from api.operation import Call
from api.problems import refused
from domain.refusal import StaleVersion
from infra.writer.submission import Refused


def tag_of(*settings: Any) -> str:
    """The ETag of a thing's settings, which are all that a change of it changes."""
    return f'"{sha256(msgspec.json.encode(settings, order="deterministic")).hexdigest()[:16]}"'


def matched(call: Call, what: str, tag: str) -> None:
    """Raises Problem (412) where the caller has read other settings than those of `tag`."""
    if call.if_match is None:
        return
    read = {each.strip().removeprefix("W/") for each in call.if_match.split(",")}
    if not read & {"*", tag}:
        raise refused(Refused.of(StaleVersion(what=what, current=tag)))
