"""Laws of work in threads: results in order, whatever the number of threads; the first error ends it."""

import threading
import time

import pytest

from faig.base.workers import for_each


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_results_are_in_order(workers):
    def work(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number**2

    assert for_each(work, range(20), workers=workers, description="test") == [number**2 for number in range(20)]


def test_nothing_to_do_gives_nothing():
    assert for_each(str, [], workers=2, description="test") == []


def test_the_first_error_ends_it_and_what_has_not_begun_is_left():
    begun = []
    gate = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise ValueError("broken: 1")
        gate.wait(0.05)

    with pytest.raises(ValueError, match="broken: 1"):
        for_each(work, range(1000), workers=2, description="test")
    assert len(begun) < 20


def test_progress_is_shown(capsys):
    for_each(str, range(4), workers=2, description="synthesize blur")
    assert "synthesize blur: 4/4 (100 %)" in capsys.readouterr().err
