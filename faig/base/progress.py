"""How far a long loop is: a bar on a terminal, now and then a plain line in a log file.

A line reads ``finetune blind: 1200/6000 (20 %), 4.8 it/s, 16:40 left, loss 0.0123``.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self, TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Progress:
    """Counts the steps of a loop, as a context manager: ``with Progress(6000, "finetune blind") as progress``.

    On a terminal it is a tqdm bar with rate and time left. Elsewhere it prints the first step, the last one, and at
    most one line every ``interval_s`` seconds between them; a loop that is left early gets a line that says where.

    Args:
        total: number of steps of the whole loop.
        description: what the loop does, ``finetune blind`` say.
        initial: steps done in an earlier run that this one resumes; they do not count in the rate.
        unit: what a step is, for the rate: ``it``, ``images``.
        stream: where to write; None is the standard error stream of the moment.
        interval_s: seconds between plain lines.
        clock: seconds that only grow; plain lines only, the bar has its own.
    """

    def __init__(
        self,
        total: int,
        description: str,
        *,
        initial: int = 0,
        unit: str = "it",
        stream: TextIO | None = None,
        interval_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if total < 0 or not 0 <= initial <= total:
            raise ValueError(f"{description}: expected 0 <= initial <= total, got initial {initial} and total {total}")
        self.total, self.description, self.initial, self.unit = total, description, initial, unit
        self._stream = sys.stderr if stream is None else stream
        self._interval_s, self._clock = interval_s, clock
        self._done, self._values = initial, ""
        self._start = self._clock()
        self._printed: tuple[float, int] | None = None  # when the last plain line was written, and at which step
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm(
                total=total, desc=description, initial=initial, unit=unit, file=self._stream, dynamic_ncols=True
            )

    def advance(self, num_steps: int = 1, **values: float | str) -> None:
        """Count ``num_steps`` more and show ``values`` beside them: ``advance(loss=0.0123)``."""
        self._done += num_steps
        if values:
            self._values = ", ".join(f"{name} {_format_value(value)}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(self._values, refresh=False)
            self._bar.update(num_steps)
        elif self._is_due():
            self._print_line()

    def close(self) -> None:
        """Write what is still to be said; called by ``with``, harmless a second time."""
        if self._bar is not None:
            self._bar.close()
        elif self._printed is None or self._printed[1] != self._done:
            self._print_line(is_closing=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_due(self) -> bool:
        if self._printed is None:
            return True
        if self._done >= self.total:
            return self._printed[1] < self.total
        return self._clock() - self._printed[0] >= self._interval_s

    def _print_line(self, *, is_closing: bool = False) -> None:
        now = self._clock()
        self._printed = (now, self._done)
        print(self._line(now - self._start, is_closing=is_closing), file=self._stream, flush=True)

    def _line(self, elapsed_s: float, *, is_closing: bool) -> str:
        percent = 100 * self._done // self.total if self.total else 100
        parts = [f"{self.description}: {self._done}/{self.total} ({percent} %)"]
        rate = (self._done - self.initial) / elapsed_s if elapsed_s > 0 else 0.0
        if rate > 0:
            parts.append(format_rate(rate, self.unit))
        if self._done >= self.total:
            parts.append(f"took {format_duration(elapsed_s)}")
        elif is_closing:
            parts.append(f"stopped after {format_duration(elapsed_s)}")
        elif rate > 0:
            parts.append(f"{format_duration((self.total - self._done) / rate)} left")
        return ", ".join([*parts, self._values] if self._values else parts)


def track(
    sequence: Sequence[T],
    description: str,
    *,
    unit: str = "it",
    stream: TextIO | None = None,
    interval_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Iterate over ``sequence`` and show how far it is; the other arguments are those of :class:`Progress`."""
    with Progress(len(sequence), description, unit=unit, stream=stream, interval_s=interval_s, clock=clock) as progress:
        for item in sequence:
            yield item
            progress.advance()


def format_duration(seconds: float) -> str:
    """Seconds as ``0:09``, ``12:30`` or ``1:02:03``, rounded."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def format_rate(rate: float, unit: str) -> str:
    """Steps per second as ``4.8 it/s``; fewer than one per second as ``2.5 s/it``."""
    return f"{rate:.1f} {unit}/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit}"


def _format_value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
