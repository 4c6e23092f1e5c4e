"""What one price book changes against another."""

from dataclasses import replace

from domain.prices.events import PriceEntry
from domain.prices.publish import Change, EntryChange, difference

CHAT = PriceEntry(operation="chat", credits=1)
FILM = PriceEntry(model="Veo", operation="video", options={"resolution": "4K"}, credits=900)
SONG = PriceEntry(operation="music", at_most={"duration": 90}, credits=90)


def test_the_same_book_changes_nothing() -> None:
    assert difference((CHAT, FILM), (FILM, CHAT)) == ()


def test_added_changed_and_removed() -> None:
    dearer = replace(CHAT, credits=2)
    assert difference((CHAT, FILM), (dearer, SONG)) == (
        EntryChange(Change.CHANGED, CHAT, dearer),
        EntryChange(Change.ADDED, None, SONG),
        EntryChange(Change.REMOVED, FILM, None),
    )


def test_another_bound_changes_an_entry_and_other_options_make_another() -> None:
    longer = replace(SONG, at_most={"duration": 120})
    full = replace(FILM, options={"resolution": "8K"})
    assert [each.change for each in difference((SONG,), (longer,))] == ["changed"]
    assert [each.change for each in difference((FILM,), (full,))] == ["added", "removed"]


def test_case_makes_no_other_thing() -> None:
    assert [each.change for each in difference((FILM,), (replace(FILM, model="VEO"),))] == ["changed"]
