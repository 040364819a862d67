"""How those who do long work tell how far they are, and learn whether they are to go on."""

from collections.abc import Callable

Progress = Callable[[str, int, int], object]
GoOn = Callable[[], object]
"""Asked between the parts of some work; it ends the work by raising."""


def silent(what: str, done: int, of: int) -> None:
    """Tell nobody that `done` parts of `of` of the work `what` are done."""


def always() -> None:
    """Let work go on."""
