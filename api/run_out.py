"""When something runs out if it goes on being used as it was (S3)."""

from datetime import datetime, timedelta
from typing import Any

WINDOW_DAYS = 14
METHOD = f"mean of the last {WINDOW_DAYS} days"
FARTHEST_DAYS = 36_500  # what lasts for a century does not run out


def forecast(balance: int, used: int, now: datetime, refresh_date: datetime | None = None) -> dict[str, Any]:
    """`runs_out_at` for a `balance` of which `used` was the use in the last 14 days; none where nothing was used.

    `per_day` is a decimal as text. `before_refresh`: it runs out before the plan grants anew.
    """
    used = max(0, used)
    runs_out: datetime | None = None
    if used:
        seconds = max(0, balance) * WINDOW_DAYS * 86_400 // used
        if seconds <= FARTHEST_DAYS * 86_400:
            runs_out = now + timedelta(seconds=seconds)
    hundredths = used * 100 // WINDOW_DAYS
    return {
        "method": METHOD,
        "balance": balance,
        "used_in_window": used,
        "per_day": f"{hundredths // 100}.{hundredths % 100:02d}",
        "runs_out_at": runs_out,
        "runs_out_on": runs_out.date() if runs_out else None,
        "before_refresh": bool(runs_out and refresh_date and runs_out < refresh_date),
    }
