"""How a bound for all is shared: who has little is served while others have filled it.

Without that, a few callers who take all they may make everybody else fail.
"""

RESERVE = 2  # so much of a bound is kept besides for those who have little: one half


def fits(own: int, little: int, total: int, most: int) -> bool:
    """Whether `total` is within the bound `most`, for a caller who has `own` of it; both with what is asked for.

    Who has no more than `little` may also have a part of the reserve, which is a bound as well.
    """
    return total <= most or (own <= little and total <= most + most // RESERVE)
