"""The menu, by role."""

from typing import NamedTuple

from console.person import ADMINS, EVERYBODY, INSPECTORS, PLATFORM, PLATFORM_READERS


class Entry(NamedTuple):
    """A line of the menu."""

    label: str
    path: str
    roles: frozenset[str] = EVERYBODY
    icon: str = "dot"


class Section(NamedTuple):
    """Lines that belong together."""

    label: str
    entries: tuple[Entry, ...]


SECTIONS = (
    Section(
        "You",
        (
            Entry("Overview", "/", icon="home"),
            Entry("History", "/history", icon="list"),
            Entry("Stored generations", "/generations", icon="box"),
            Entry("Groups", "/groups", icon="people"),
            Entry("Budget", "/settings/budget", icon="coin"),
            Entry("Buy tokens", "/settings/tokens", icon="bolt"),
            Entry("Plan", "/settings/subscription", icon="star"),
            Entry("Alerts", "/settings/alerts", icon="bell"),
            Entry("Playground", "/playground", icon="play"),
        ),
    ),
    Section(
        "Administration",
        (
            Entry("Tokens", "/admin/groups", ADMINS, "people"),
            Entry("Organisation", "/admin/organisation", ADMINS, "building"),
            Entry("Gifts", "/admin/gifts", ADMINS, "gift"),
            Entry("Purchases", "/admin/purchases", ADMINS, "coin"),
            Entry("Quotas", "/admin/quotas", ADMINS, "gauge"),
            Entry("Alerts and rules", "/admin/alerts", ADMINS, "bell"),
            Entry("Webhooks", "/admin/webhooks", ADMINS, "plug"),
            Entry("API keys", "/admin/api-keys", ADMINS, "key"),
            Entry("Support", "/support", INSPECTORS, "search"),
            Entry("Analytics", "/analytics", INSPECTORS, "chart"),
        ),
    ),
    Section(
        "Platform",
        (
            Entry("Organisations", "/admin/organisations", PLATFORM_READERS, "building"),
            Entry("Plans", "/admin/plans", PLATFORM_READERS, "star"),
            Entry("Price book", "/admin/prices", PLATFORM_READERS, "tag"),
            Entry("Packages", "/admin/packages", PLATFORM, "box"),
        ),
    ),
    Section(
        "Operation and audit",
        (
            Entry("Operation", "/operator", PLATFORM_READERS, "gauge"),
            Entry("Events", "/operator/events", INSPECTORS, "list"),
            Entry("Verify", "/operator/verify", INSPECTORS, "check"),
            Entry("Quarantine", "/operator/quarantine", PLATFORM_READERS, "warning"),
            Entry("Rebuild", "/operator/rebuild", PLATFORM, "cycle"),
        ),
    ),
)


class Line(NamedTuple):
    """A line as it is drawn."""

    entry: Entry
    current: bool


def navigation(role: str, path: str) -> list[tuple[str, list[Line]]]:
    """The sections with the lines that this role has, the current one marked: the longest that `path` begins with."""
    entries = [entry for section in SECTIONS for entry in section.entries if role in entry.roles]
    here = max((entry.path for entry in entries if _within(entry.path, path)), key=len, default="")
    drawn = [
        (section.label, [Line(entry, entry.path == here) for entry in section.entries if role in entry.roles])
        for section in SECTIONS
    ]
    return [(label, lines) for label, lines in drawn if lines]


def _within(entry: str, path: str) -> bool:
    return path == entry or (entry != "/" and path.startswith(f"{entry}/"))
