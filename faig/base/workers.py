"""Work on many images at once, in threads: decoding, filtering and encoding release Python's lock."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from faig.base.progress import Progress

T = TypeVar("T")
R = TypeVar("R")


def for_each(function: Callable[[T], R], items: Sequence[T], *, workers: int | None, description: str) -> list[R]:
    """Apply ``function`` to each item in threads; results in the order of the items.

    The first error is raised at once; items that have not begun by then are not begun.

    Args:
        workers: threads; None: one per core, and a few more.
        description: what the progress line calls it.
    """
    results = []
    with ThreadPoolExecutor(workers) as pool, Progress(len(items), description, unit="images") as progress:
        try:
            for result in pool.map(function, items):
                results.append(result)
                progress.advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
