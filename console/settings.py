"""What a deployment chooses for its console."""

from collections.abc import Callable
from dataclasses import dataclass, field

SESSION_S = 8 * 3600

Sign = Callable[[str, str, str, int], str]  # organisation, own id, role, seconds -> a token that the API accepts


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIdConnect:
    """The issuer that signs people in. `token`: which of its tokens the API accepts, `id_token` or `access_token`."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str = "openid profile"
    token: str = "id_token"  # noqa: S105 - which token, not a token
    logout: bool = True  # whether signing out here ends the issuer's session too


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """`session_secret` signs the cookie of a sign-in under way, a session lasts `session_s` seconds at most.

    With `sign` anybody may sign in as anybody (development only).
    """

    session_secret: str = field(repr=False)
    https: bool = False
    sign: Sign | None = None
    oidc: OpenIdConnect | None = None
    session_s: int = SESSION_S
    report_to: str = "/support"  # where "Report a problem" leads, with ?generation=…
    visible: Callable[[str], str] = str  # a text of somebody's, with what would reorder a page as its code

    def cookie(self, name: str) -> str:
        """The name of a cookie: over HTTPS one that browsers take from this host alone, and no sibling can plant."""
        return f"__Host-{name}" if self.https else name
