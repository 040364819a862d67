"""What a command is doing just now, on standard error: a spinner, or lines where nobody looks."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Progress:
    """Tells one step after the other.

    Parameters
    ----------
    status : rich.status.Status or None
        The spinner of a terminal. None prints a line a step instead.
    """

    def __init__(self, status: Status | None) -> None:
        self._status = status
        self._last = ""

    def __call__(self, text: str) -> None:
        """Tell that a step begins; saying the same again says nothing."""
        if text == self._last:
            return
        self._last = text
        if self._status is None:
            print(f"{text} ...", file=sys.stderr, flush=True)
        else:
            self._status.update(escape(text))

    def step(self, text: str, done: int, total: int) -> None:
        """Tell how far a step has come, as the session's progress signal does."""
        if self._status is None or not total:
            self(text)
        else:
            self(f"{text} {done}/{total}")


@contextmanager
def telling() -> Generator[Progress, None, None]:
    """Show progress on standard error until the block is left.

    Yields
    ------
    Progress
        Call it with what begins now.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(None)
        return
    with console.status("") as status:
        yield Progress(status)
