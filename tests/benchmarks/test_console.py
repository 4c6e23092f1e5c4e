"""The benchmark of the console opens every page."""

from benchmarks.console import EXAMPLES, without_example
from benchmarks.load import SettledWork
from console.catalogue import ALL_PAGES
from console.pages import Page
from domain.generations.create import CreateGeneration


def test_every_page_with_a_parameter_has_an_example() -> None:
    assert without_example(ALL_PAGES) == []
    invented = [Page("GET", path, frozenset(), ALL_PAGES[0].answer) for path in ("/x/{id}/y/{day}", *EXAMPLES)]
    assert without_example(invented) == ["/x/{id}", "/x/{id}/y/{day}"]


def test_a_tenth_of_the_work_is_generations_and_everybody_has_some() -> None:
    work = SettledWork(20)
    begun = [work.begin(turn % 20, f"w{turn}") for turn in range(200)]
    assert sum(isinstance(command, CreateGeneration) for command in begun) == 20
    assert len({work.generation_of(f"u{number}") for number in range(20)}) == 20
