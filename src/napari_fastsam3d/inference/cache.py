"""Values kept while they are used: the least recently used go first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """A mapping of bounded weight.

    Parameters
    ----------
    budget : int
        Total weight above which the least recently used values are forgotten; the newest one
        stays, whatever it weighs.
    weigh : callable
        Weight of a value; by default each weighs 1.
    """

    def __init__(self, budget: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._budget = budget
        self._weigh = weigh
        self._values: OrderedDict[K, V] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def get(self, key: K) -> V | None:
        """Return a value and count it as used now; None if it isn't there."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: K, value: V) -> None:
        """Keep a value, forgetting others as needed."""
        if key in self._values:
            self._weight -= self._weigh(self._values.pop(key))
        self._values[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._budget and len(self._values) > 1:
            _, forgotten = self._values.popitem(last=False)
            self._weight -= self._weigh(forgotten)
