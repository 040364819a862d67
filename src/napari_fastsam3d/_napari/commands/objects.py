"""Commands on the current object."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import (
    NO_OBJECT,
    NO_PROMPT,
    nothing_begun,
    nothing_chosen,
    session_command,
)
from napari_fastsam3d._napari.dialogs.objects import ask_colour, ask_name, ask_value
from napari_fastsam3d._napari.main_thread import show_message
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.session import Result
from napari_fastsam3d.session.commands import Commands


def _nothing_to_lock(work: Workspace, view: SessionView) -> str | None:
    own = view.current
    if own is None:
        return NO_OBJECT
    return None if own.prompts or own.locked is not None else NO_PROMPT


def _not_removable(_work: Workspace, view: SessionView) -> str | None:
    own = view.current
    if own is None:
        return NO_OBJECT
    return None if own.locked is None else "A locked object can't be removed: unlock it first."


def _no_neighbours(_work: Workspace, view: SessionView) -> str | None:
    own = view.current
    if own is None or not own.prompts:
        return NO_OBJECT if own is None else NO_PROMPT
    if own.locked is not None:
        return f"{own.name} is locked."
    locked = any(each.locked is not None for each in view.session.state.objects)
    return None if locked else "No other object is locked."


def _no_holder(work: Workspace, _view: SessionView) -> str | None:
    return None if work.last_click.holder else "No other object keeps the voxel of the last click."


@session_command(
    "Next object",
    "Keep this object and begin another one with its own colour.",
    "N",
    why_not=nothing_begun,
)
def next_object(work: Workspace, view: SessionView) -> None:
    """Begin another object, unless the current one has no prompt yet."""
    if view.current is None or view.prompts:
        view.run(Commands.new_object)
    if work.toolbox.tool is None:
        work.toolbox.use("include")


@session_command(
    "Remove",
    "Remove the selected object with its mask; Undo brings it back.",
    "Shift+X",
    why_not=_not_removable,
)
def remove_object(_work: Workspace, view: SessionView) -> None:
    """Remove the current object with its mask."""
    view.run(Commands.remove_object)


@session_command(
    "Lock",
    "Freeze the mask of this object, so that nothing changes or overlaps it; or thaw it.",
    "Shift+F",
    why_not=_nothing_to_lock,
)
def lock_object(_work: Workspace, view: SessionView) -> None:
    """Lock the current object, or unlock it."""
    locked = view.current is not None and view.current.locked is not None
    view.run(Commands.unlock_object if locked else Commands.lock_object)


@session_command(
    "Accept",
    "Mark this object as finished, and lock it; or take that back.",
    "Shift+Y",
    why_not=_nothing_to_lock,
)
def accept_object(work: Workspace, view: SessionView) -> None:
    """Mark the current object as finished; unlock it if it is finished already."""
    own = view.current
    if own is not None and own.accepted:
        view.run(Commands.unlock_object)
    elif own is not None and own.prompts:
        answer = view.run(Commands.accept_object)
        if answer is not None:
            view.dispatcher.watch(answer, lambda done: _tell_accepted(work, done), _ignore)


@session_command(
    "Let this object win here",
    "Give this object the part around its last click that another object keeps from it.",
    "Shift+T",
    why_not=_no_holder,
)
def take_over(work: Workspace, view: SessionView) -> None:
    """Give the current object what another keeps from it around the last click."""
    kept = work.last_click.kept
    if kept is not None:
        view.run(lambda session: session.take_over(kept))


@session_command(
    "Unlock the other object",
    "Unlock the object that keeps the voxel of the last click.",
    "Shift+Alt+U",
    why_not=_no_holder,
)
def unlock_holder(work: Workspace, view: SessionView) -> None:
    """Unlock the object that keeps the voxel of the last click."""
    holder = work.last_click.holder
    if holder is not None and holder.locked is not None:
        view.run(lambda session: session.unlock_object(holder.id))


@session_command(
    "Exclude locked neighbours",
    "Add an excluding point where this object runs into each locked one, for the model to see.",
    "Shift+Alt+N",
    why_not=_no_neighbours,
)
def exclude_neighbours(work: Workspace, view: SessionView) -> None:
    """Add an excluding point where the current object overlaps each locked one."""
    own = view.current
    if own is None or view.pending or own.locked is not None:
        return
    before = view.session.state

    def exclude(found: list[Index]) -> None:
        if work.view is not view or view.pending or view.session.state != before:
            show_message("Nothing was excluded: the objects changed meanwhile. Ask again.")
        elif not found:
            show_message("This object runs into no locked one.")
        else:
            for index in found:
                view.run(lambda session, index=index: session.add_point(index, positive=False))

    work.tasks.run(
        f"Looking where {own.name} runs into locked objects...",
        lambda: view.session.overlaps(own.id),
        exclude,
        "Nothing was excluded.",
    )


@session_command(
    "Name...",
    "Name this object, after an organ of the list or as you like.",
    "Shift+N",
    why_not=nothing_chosen,
)
def name_object(work: Workspace, view: SessionView) -> None:
    """Ask for the name of the current object; an organ's usual value comes with its name."""
    own = view.current
    answer = None if own is None else ask_name(work.parent, own, view.session.state)
    if own is None or answer is None:
        return
    name, value = answer
    if name != own.name:
        view.run(lambda session: session.rename_object(own.id, name))
    if value is not None:
        view.run(lambda session: session.revalue_object(own.id, value))


@session_command(
    "Label value...",
    "Choose the value of this object in the saved mask.",
    "Shift+Alt+L",
    why_not=nothing_chosen,
)
def value_object(work: Workspace, view: SessionView) -> None:
    """Ask for the label value of the current object."""
    own = view.current
    value = None if own is None else ask_value(work.parent, own)
    if own is not None and value is not None and value != own.value:
        view.run(lambda session: session.revalue_object(own.id, value))


@session_command(
    "Colour...", "Choose the colour of this object.", "Shift+C", why_not=nothing_chosen
)
def colour_object(work: Workspace, view: SessionView) -> None:
    """Ask for the colour of the current object."""
    own = view.current
    colour = None if own is None else ask_colour(work.parent, own)
    if own is not None and colour is not None:
        view.run(lambda session: session.recolour_object(own.id, colour))


def _tell_accepted(work: Workspace, result: Result) -> None:
    if not result.stale:
        work.accepted.emit(result.object)


def _ignore(_error: BaseException) -> None:
    """Leave a failure to the view, which shows it."""


OBJECT_COMMANDS = (
    next_object,
    remove_object,
    lock_object,
    accept_object,
    take_over,
    unlock_holder,
    exclude_neighbours,
    name_object,
    value_object,
    colour_object,
)
