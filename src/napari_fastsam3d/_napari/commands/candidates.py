"""Commands that turn to another of the masks that the newest click or box may mean."""

from __future__ import annotations

from collections.abc import Sequence

from napari_fastsam3d._napari.commands.command import session_command
from napari_fastsam3d._napari.commands.history import locked
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.inference.prompt import asked_for, has_candidates
from napari_fastsam3d.session import Candidate, Edit, Scribble

_DRAWN = "What is drawn says how far it goes: only a click or a box may mean something else."


def _nothing_to_choose(_work: Workspace, view: SessionView) -> str | None:
    if locked(view):
        return locked(view)
    if has_candidates(view.prompts):
        return None
    asked = asked_for(view.prompts)
    drawn = bool(asked) and isinstance(asked[-1], Scribble | Edit)
    return _DRAWN if drawn else "Click in a structure or draw a box first."


@session_command(
    "Smaller",
    "Turn to the next smaller structure that the last click or box may mean, such as a part.",
    "<",
    why_not=_nothing_to_choose,
)
def smaller_candidate(_work: Workspace, view: SessionView) -> None:
    """Turn to the next smaller candidate."""
    _turn(view, -1)


@session_command(
    "Larger",
    "Turn to the next larger structure that the last click or box may mean, such as the whole.",
    ">",
    why_not=_nothing_to_choose,
)
def larger_candidate(_work: Workspace, view: SessionView) -> None:
    """Turn to the next larger candidate."""
    _turn(view, 1)


def _turn(view: SessionView, by: int) -> None:
    """Choose the candidate that many places further by size, once they are known."""

    def choose(found: Sequence[Candidate]) -> None:
        shown = next((each.rank for each in found if each.shown), None)
        if shown is None:  # something newer came in between
            return
        if 0 <= shown + by < len(found):
            view.run(lambda session: session.choose(shown + by))
        else:
            size = "smaller" if by < 0 else "larger"
            view.message.emit(f"The model knows nothing {size} that this may mean.")

    view.dispatcher.watch(view.session.futures.candidates(), choose)


CANDIDATE_COMMANDS = (smaller_candidate, larger_candidate)
