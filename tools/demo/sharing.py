"""What visitors share: results that were made before; and which of a visitor's requests is the newest."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The last ``size`` results by key."""

    def __init__(self, size: int) -> None:
        self._size, self._kept, self._guard = size, OrderedDict[Hashable, T](), threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What was made for the key before, or else what ``compute`` makes now."""
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = compute()
        with self._guard:
            self._kept[key] = value
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return value

    def find(self, key: Hashable) -> T | None:
        """What was made for the key before, if it is still there."""
        return self._kept.get(key)


class Newest:
    """Numbers the requests of each visitor, so that an older one can see that it has been superseded."""

    def __init__(self, size: int = 1000) -> None:
        self._size, self._numbers, self._guard = size, OrderedDict[str, int](), threading.Lock()

    def begin(self, visitor: str) -> Callable[[], bool]:
        """Note a new request; the function returned tells whether it is still the visitor's newest."""
        with self._guard:
            number = self._numbers.pop(visitor, 0) + 1
            self._numbers[visitor] = number
            while len(self._numbers) > self._size:
                self._numbers.popitem(last=False)
        return self.watch(visitor)

    def watch(self, visitor: str) -> Callable[[], bool]:
        """Tells whether the visitor has asked for nothing since."""
        number = self._numbers.get(visitor)
        return lambda: self._numbers.get(visitor) == number
