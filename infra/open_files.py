"""How many files and connections this process may have open."""

import resource


def allow(wanted: int) -> int:
    """Raise the soft limit to `wanted` open files, or as near as the hard limit lets us. Returns what it is then.

    It is never lowered. What is not wanted stays as it is: the limit is inherited by processes that we start.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
