"""What a command is doing just now, on standard error: a spinner, or lines where nobody looks."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class ProgressLine:
    """Shows one step after the other.

    Parameters
    ----------
    status : rich.status.Status or None
        The spinner of a terminal. None prints a line a step instead.
    """

    def __init__(self, status: Status | None) -> None:
        self._status = status
        self._last = ""

    def __call__(self, text: str) -> None:
        """Show that a step begins; the same one again shows nothing."""
        if text == self._last:
            return
        self._last = text
        if self._status is None:
            print(f"{text} ...", file=sys.stderr, flush=True)
        else:
            self._status.update(escape(text))

    def step(self, text: str, done: int, total: int) -> None:
        """Show how far a step has come, as the session's progress signal does."""
        if self._status is None or not total:
            self(text)
        else:
            self(f"{text} {done}/{total}")


@contextmanager
def progress_line() -> Generator[ProgressLine, None, None]:
    """Show progress on standard error until the block is left.

    Yields
    ------
    ProgressLine
        Call it with what begins now.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLine(None)
        return
    with console.status("") as status:
        yield ProgressLine(status)
