"""What a row of docs/limits.md must come with: the number in the code, and an attempt to pass it."""

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx

from tests.api.service import Service


class Attacker:
    """A fresh organisation of a running service, and logins for it. Its settings are lowered where that is quicker."""

    def __init__(self, service: Service, patch: Callable[[Any, str, Any], None]) -> None:
        self.service, self._patch = service, patch
        self.org = f"o{secrets.token_hex(5)}"

    def client(self, role: str = "org_admin", sub: str = "boss") -> httpx.Client:
        """A client with a login of this organisation."""
        return self.service.client(role, sub=sub, org=self.org)

    def lower(self, module: Any, name: str, value: Any) -> None:
        """Set a fixed bound to a value that is quick to reach, until the attempt is over."""
        self._patch(module, name, value)

    def grant(self, address: str, amount: int = 100) -> httpx.Response:
        """Give credits; whatever the answer is."""
        body = {"amount": amount, "source": "gift"}
        return self.client().post(f"/api/v1/accounts/{address}/grants", json=body)


Attempt = Callable[[Attacker], httpx.Response]


class Bound(NamedTuple):
    """`value`: the default, from the code. `tried`: an attempt through HTTP, whose answer is compared with the row; or
    the test that tries it, as pytest names it.
    """

    value: float
    tried: Attempt | str


def sends(method: str, path: str, role: str = "admin", **given: Any) -> Attempt:
    """An attempt of one request. `given`: what httpx takes; `content` as a number is a body of so many spaces."""

    def attempt(attacker: Attacker) -> httpx.Response:
        content = given.get("content")
        body = {"content": b" " * content} if isinstance(content, int) else {}
        return attacker.client(role).request(method, path, **(given | body))

    return attempt
