"""Commands that take steps back, and that change or select prompts."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import NO_OBJECT, NO_PROMPT, session_command
from napari_fastsam3d._napari.commands.objects import lock_object
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import Point, Scribble
from napari_fastsam3d.session.commands import Commands


def _no_prompt(_work: Workspace, view: SessionView) -> str | None:
    if view.current is None:
        return NO_OBJECT
    return None if view.prompts else NO_PROMPT


def locked(view: SessionView) -> str | None:
    """Return why nothing of the current object can be changed; None where it can."""
    own = view.current
    if own is None or own.locked is None:
        return None
    return f"{own.name} is locked. Unlock it first ({lock_object.shortcuts[0]})."


def _nothing_to_undo(_work: Workspace, view: SessionView) -> str | None:
    return None if view.session.can_undo else "There is nothing to undo."


def _nothing_to_redo(_work: Workspace, view: SessionView) -> str | None:
    return None if view.session.can_redo else "There is nothing to redo."


def _nothing_to_flip(_work: Workspace, view: SessionView) -> str | None:
    signed = any(isinstance(prompt, Point | Scribble) for prompt in view.prompts)
    return locked(view) or (None if signed else "There is no point or scribble to flip.")


def _nothing_to_delete(_work: Workspace, view: SessionView) -> str | None:
    return locked(view) or (None if view.selection.ids else "Select a prompt first.")


def _nothing_far(work: Workspace, _view: SessionView) -> str | None:
    far = work.last_click.far_change
    unchanged = far is None or far.is_empty
    return "The last click changed nothing out of sight." if unchanged else None


@session_command(
    "Undo",
    "Take the last step back, as often as you like.",
    "Ctrl+Z",
    "U",
    why_not=_nothing_to_undo,
)
def undo(_work: Workspace, view: SessionView) -> None:
    """Take the last step back."""
    view.run(Commands.undo)


@session_command(
    "Redo",
    "Do the step again that was taken back.",
    "Ctrl+Shift+Z",
    "Shift+U",
    why_not=_nothing_to_redo,
)
def redo(_work: Workspace, view: SessionView) -> None:
    """Do again what was taken back."""
    view.run(Commands.redo)


@session_command(
    "Reset",
    "Remove every prompt of this object; Undo brings them back.",
    "Shift+R",
    why_not=_no_prompt,
)
def reset_object(_work: Workspace, view: SessionView) -> None:
    """Remove every prompt of the current object."""
    view.run(Commands.reset_object)


@session_command(
    "Flip",
    "Turn the selected points and scribbles, or else the last, from include to exclude or back.",
    "J",
    why_not=_nothing_to_flip,
)
def flip_point(_work: Workspace, view: SessionView) -> None:
    """Flip the selected points, or else the last one."""
    view.selection.flip()


@session_command(
    "Delete",
    "Take the selected prompts away; the mask is made again of those that are left.",
    "Shift+D",
    why_not=_nothing_to_delete,
)
def delete_prompt(_work: Workspace, view: SessionView) -> None:
    """Delete the selected prompts."""
    view.selection.delete()


@session_command(
    "Show it",
    "Turn to where the last click changed the mask out of sight; again for the next place.",
    "Shift+J",
    why_not=_nothing_far,
)
def show_change(work: Workspace, _view: SessionView) -> None:
    """Turn to the next run of slices that the last click changed out of sight."""
    work.last_click.show_next_change()


@session_command(
    "Leave it as it was there",
    "Take back what the last click changed out of sight, for good, and keep the rest.",
    "Shift+Alt+J",
    why_not=_nothing_far,
)
def revert_change(work: Workspace, view: SessionView) -> None:
    """Take back what the last click changed far from it, for good."""
    far = work.last_click.far_change
    if far is not None:
        view.run(lambda session: session.edit_mask(far.removed, far.added))


@session_command(
    "Next prompt", "Select the next prompt of this object and turn to it.", ".", why_not=_no_prompt
)
def next_prompt(_work: Workspace, view: SessionView) -> None:
    """Select the next prompt and turn to it."""
    view.selection.step(1)


@session_command(
    "Previous prompt", "Select the prompt before and turn to it.", ",", why_not=_no_prompt
)
def previous_prompt(_work: Workspace, view: SessionView) -> None:
    """Select the prompt before and turn to it."""
    view.selection.step(-1)


HISTORY_COMMANDS = (
    undo,
    redo,
    reset_object,
    flip_point,
    delete_prompt,
    show_change,
    revert_change,
    next_prompt,
    previous_prompt,
)
