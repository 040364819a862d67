"""Commands that clean up the mask of an object, or of all."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import (
    NO_OBJECT,
    NO_PROMPT,
    Command,
    session_command,
)
from napari_fastsam3d._napari.commands.history import locked
from napari_fastsam3d._napari.dialogs.clean_up import ask_clean_up
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.geometry.clean_up import Kind
from napari_fastsam3d.session import Result


def _nothing_drawn(_work: Workspace, view: SessionView) -> str | None:
    own = view.current
    if own is None:
        return NO_OBJECT
    return locked(view) or (None if own.prompts else NO_PROMPT)


def _clean_up(kind: Kind, text: str, tooltip: str, shortcut: str) -> Command:
    """Return the command that does one kind of cleaning up, once the user said how much of it."""

    def clean_up(work: Workspace, view: SessionView) -> None:
        answer = ask_clean_up(work.parent, text.rstrip("."), tooltip, kind, view.session.state)
        if answer is None:
            return
        amount, everything = answer
        future = view.run(lambda session: session.clean_up(kind, amount, everything=everything))
        if future is not None:
            view.dispatcher.watch(future, lambda result: _tell(view, result), lambda _error: None)

    clean_up.__name__ = f"clean_{kind}"
    return session_command(text, tooltip, shortcut, why_not=_nothing_drawn)(clean_up)


def _tell(view: SessionView, result: Result) -> None:
    for note in result.notes:
        view.message.emit(note)


CLEAN_UP_COMMANDS = (
    _clean_up(
        "islands",
        "Remove islands...",
        "Drop the small parts of the mask; the largest and those that were clicked stay.",
        "Alt+I",
    ),
    _clean_up(
        "connected",
        "Keep what is connected",
        "Keep what is connected to a click inside; without one, the largest part.",
        "Alt+K",
    ),
    _clean_up("holes", "Fill holes", "Fill what the mask encloses on all sides.", "Alt+O"),
    _clean_up(
        "smooth", "Smooth...", "Smooth the surface of the mask, by a Gaussian in mm.", "Alt+J"
    ),
    _clean_up("grow", "Grow...", "Add a margin in mm to the mask, on all sides.", "Alt+G"),
    _clean_up(
        "shrink", "Shrink...", "Take a margin in mm off the mask, on all sides.", "Shift+Alt+G"
    ),
    _clean_up(
        "interpolate",
        "Interpolate slices",
        "Fill the empty slices between those that were drawn.",
        "Alt+B",
    ),
)
