"""What a command of the user is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace

NO_SCAN = "Open a scan, or choose an image layer above."
NO_OBJECT = "There is no object yet: click inside a structure first."
NO_PROMPT = "This object has no prompt yet."

WhyNot = Callable[[Workspace], str | None]


def nothing_chosen(_work: Workspace, view: SessionView) -> str | None:
    """Say that there is no object, unless one is the current one."""
    return NO_OBJECT if view.current is None else None


def nothing_begun(_work: Workspace, view: SessionView) -> str | None:
    """Say that there is no object, unless one has a prompt."""
    return None if any(each.prompts for each in view.session.state.objects) else NO_OBJECT


def always(_work: Workspace) -> None:
    """Allow a command at any time."""


@dataclass(frozen=True, eq=False)
class Command:
    """One thing the user can do, by a button, in a menu or by a key.

    Parameters
    ----------
    key : str
        Its name in Python.
    text : str
        Words on the button.
    tooltip : str
        What it does, one or two sentences.
    shortcuts : tuple of str
        Key sequences in Qt's portable form. None of them is bound by napari itself, except
        ``Ctrl+Z`` and ``Ctrl+Shift+Z``, which napari gives to the painting of Labels layers, and
        ``Escape``, which ends a shape or polygon there: they stay with the layer while it is
        painted or drawn in.
    action : callable
        Does it.
    why_not : callable
        Returns a sentence that says why it is disabled now; None where it is enabled.
    checkable : bool
        Whether it stays on until it is pressed again.
    """

    key: str
    text: str
    tooltip: str
    shortcuts: tuple[str, ...]
    action: Callable[[Workspace], object]
    why_not: WhyNot = always
    checkable: bool = False

    @property
    def hint(self) -> str:
        """Tooltip with the shortcuts added."""
        keys = " or ".join(self.shortcuts)
        return f"{self.tooltip}\nShortcut: {keys}" if keys else self.tooltip

    def run(self, work: Workspace) -> None:
        """Do it, or show in the status line why it is disabled."""
        reason = self.why_not(work)
        if reason is None:
            self.action(work)
        else:
            work.message.emit(reason)


def command(
    text: str,
    tooltip: str,
    *shortcuts: str,
    why_not: WhyNot = always,
    checkable: bool = False,
) -> Callable[[Callable[[Workspace], object]], Command]:
    """Make a command of the function that does it; its key is the function's name."""

    def make(action: Callable[[Workspace], object]) -> Command:
        return Command(action.__name__, text, tooltip, shortcuts, action, why_not, checkable)

    return make


def session_command(
    text: str,
    tooltip: str,
    *shortcuts: str,
    why_not: Callable[[Workspace, SessionView], str | None] = lambda _work, _view: None,
    checkable: bool = False,
) -> Callable[[Callable[[Workspace, SessionView], object]], Command]:
    """Make a command of a function that is given the current session too; it needs a scan."""

    def make(action: Callable[[Workspace, SessionView], object]) -> Command:
        def act(work: Workspace) -> None:
            if work.view is not None:
                action(work, work.view)

        def reason(work: Workspace) -> str | None:
            return NO_SCAN if work.view is None else why_not(work, work.view)

        return Command(action.__name__, text, tooltip, shortcuts, act, reason, checkable)

    return make
