"""Plain lines in a log, a bar on a terminal."""

import io
from itertools import pairwise

import pytest

from faig.base.progress import Progress, format_duration, format_rate, track


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(num_steps, seconds_per_step, *, total=None, **settings):
    """The lines printed by a loop of ``num_steps`` steps."""
    clock, stream = Clock(), io.StringIO()
    total = num_steps if total is None else total
    with Progress(total, "finetune blind", stream=stream, clock=clock, **settings) as progress:
        for _ in range(num_steps):
            clock.now += seconds_per_step
            progress.advance(loss=0.01234567)
    return stream.getvalue().splitlines()


def test_lines_say_steps_rate_time_left_and_values():
    lines = run(600, 0.25, interval_s=60)
    assert lines == [
        "finetune blind: 1/600 (0 %), 4.0 it/s, 2:30 left, loss 0.01235",
        "finetune blind: 241/600 (40 %), 4.0 it/s, 1:30 left, loss 0.01235",
        "finetune blind: 481/600 (80 %), 4.0 it/s, 0:30 left, loss 0.01235",
        "finetune blind: 600/600 (100 %), 4.0 it/s, took 2:30, loss 0.01235",
    ]


def test_a_short_loop_prints_its_first_and_last_step_only():
    assert [line.split(",")[0] for line in run(500, 0.001)] == [
        "finetune blind: 1/500 (0 %)",
        "finetune blind: 500/500 (100 %)",
    ]


def test_no_two_lines_between_first_and_last_are_closer_than_the_interval():
    lines = run(1000, 0.1, interval_s=10)
    steps = [int(line.split(": ")[1].split("/")[0]) for line in lines]
    assert all(after - before >= 100 for before, after in pairwise(steps[:-1]))


def test_steps_of_an_earlier_run_do_not_count_in_the_rate():
    lines = run(100, 0.5, total=1100, initial=1000)
    assert lines[0] == "finetune blind: 1001/1100 (91 %), 2.0 it/s, 0:50 left, loss 0.01235"


def interrupted_loop(stream, clock):
    with Progress(10, "score", stream=stream, clock=clock) as progress:
        progress.advance()
        clock.now += 3
        progress.advance(2)
        raise KeyboardInterrupt


def test_a_loop_left_early_says_where_it_stopped():
    clock, stream = Clock(), io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        interrupted_loop(stream, clock)
    assert stream.getvalue().splitlines() == ["score: 1/10 (10 %)", "score: 3/10 (30 %), 1.0 it/s, stopped after 0:03"]


def test_an_empty_loop_prints_one_line_and_closing_twice_is_harmless():
    stream = io.StringIO()
    with Progress(0, "nothing", stream=stream, clock=Clock()) as progress:
        progress.close()
    assert stream.getvalue() == "nothing: 0/0 (100 %), took 0:00\n"


def test_track_yields_every_item_and_counts_it_when_it_is_done():
    clock, stream = Clock(), io.StringIO()
    seen = []
    for item in track(["a", "b"], "crops", unit="images", stream=stream, clock=clock):
        clock.now += 2
        seen.append(item)
    assert seen == ["a", "b"]
    assert stream.getvalue().splitlines() == [
        "crops: 1/2 (50 %), 2.0 s/images, 0:02 left",
        "crops: 2/2 (100 %), 2.0 s/images, took 0:04",
    ]


def test_a_terminal_gets_a_bar_with_rate_and_values():
    stream = Terminal()
    with Progress(4, "finetune blind", stream=stream) as progress:
        for _ in range(4):
            progress.advance(loss=0.5)
    last = stream.getvalue().split("\r")[-1]
    assert "finetune blind: 100%" in last
    assert "4/4" in last
    assert "it/s" in last
    assert "loss 0.5" in last


def test_the_default_stream_is_standard_error(capsys):
    list(track([1], "one"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("one: 1/1 (100 %)")


@pytest.mark.parametrize(("total", "initial"), [(-1, 0), (5, 6), (5, -1)])
def test_impossible_counts_are_refused(total, initial):
    with pytest.raises(ValueError, match="expected 0 <= initial <= total"):
        Progress(total, "x", initial=initial)


def test_formats():
    assert [format_duration(s) for s in (0, 8.6, 750, 3723)] == ["0:00", "0:09", "12:30", "1:02:03"]
    assert [format_rate(r, "it") for r in (4.84, 1, 0.4)] == ["4.8 it/s", "1.0 it/s", "2.5 s/it"]
