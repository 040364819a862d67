"""How those who do long work tell how far they are."""

from collections.abc import Callable

Progress = Callable[[str, int, int], object]


def silent(what: str, done: int, of: int) -> None:
    """Tell nobody that `done` parts of `of` of the work `what` are done."""
