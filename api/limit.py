"""The rate limit on requests for generations (contract, "Errors"; S2)."""

from api.database import UNREACHABLE
from api.http.caller import Call
from api.problems import away, rate_limited
from infra.security.principal import Role
from infra.security.request_rates import Limit


async def within_rate(call: Call) -> None:
    """Let the call pass or raise Problem (429; 503 where the count cannot be made: it never passes uncounted).

    Whatever makes a generation counts for its caller, by whichever call it does so. A user's own token has the limit;
    workers, admins and API keys have one only where it is configured.
    """
    settings = call.services.settings
    requests = settings.rate_limit if call.principal.role is Role.USER else settings.rate_limit_programs
    if not requests:
        return
    limit = Limit(requests, settings.rate_window_s)
    try:
        wait_s = await call.services.rates.wait_s(call.org, call.principal.actor, limit, call.key)
    except UNREACHABLE as error:
        raise away(error) from None
    if wait_s:
        raise rate_limited(wait_s, limit.requests, limit.window_s)
