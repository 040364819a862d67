"""Commands that change how objects are shown, and that go from one to another."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import (
    NO_OBJECT,
    nothing_chosen,
    session_command,
)
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace

_STEP = 0.2
ORDERS = {"begun": "in the order begun", "name": "by name", "size": "by size, largest first"}
"""How the list of objects can be sorted."""


def _no_other(_work: Workspace, view: SessionView) -> str | None:
    return None if len(view.session.state.objects) > 1 else "There is no other object."


def _nothing_drawn(_work: Workspace, view: SessionView) -> str | None:
    own = view.current
    if own is None:
        return NO_OBJECT
    return f"{own.name} has no voxel yet." if view.session.region(own.id).is_empty else None


@session_command(
    "Only this object",
    "Show the mask of the current object alone; or those of all again.",
    "Ctrl+6",
    checkable=True,
)
def only_current(_work: Workspace, view: SessionView) -> None:
    """Show the mask of the current object alone, or all again."""
    view.display.show_alone(not view.display.alone)


@session_command(
    "Outlines",
    "Draw the masks as outlines in the slices; or filled again.",
    "Ctrl+7",
    checkable=True,
)
def outlines(_work: Workspace, view: SessionView) -> None:
    """Draw outlines, or filled masks."""
    layer = view.mask.layer
    layer.contour = 0 if layer.contour else 1


@session_command(
    "Fainter",
    "Make the mask of the current object more transparent.",
    "Ctrl+[",
    why_not=nothing_chosen,
)
def fainter(_work: Workspace, view: SessionView) -> None:
    """Make the current object more transparent."""
    _fade(view, -_STEP)


@session_command(
    "Stronger",
    "Make the mask of the current object less transparent.",
    "Ctrl+]",
    why_not=nothing_chosen,
)
def stronger(_work: Workspace, view: SessionView) -> None:
    """Make the current object less transparent."""
    _fade(view, _STEP)


@session_command(
    "Object after",
    "Choose the object after the current one in the list, and go to it.",
    "PgDown",
    why_not=_no_other,
)
def object_after(work: Workspace, view: SessionView) -> None:
    """Choose the object after the current one."""
    _choose(work, view, 1)


@session_command(
    "Object before",
    "Choose the object before the current one in the list, and go to it.",
    "PgUp",
    why_not=_no_other,
)
def object_before(work: Workspace, view: SessionView) -> None:
    """Choose the object before the current one."""
    _choose(work, view, -1)


@session_command(
    "Go to it",
    "Turn every view to the middle of the current object.",
    "Ctrl+8",
    why_not=_nothing_drawn,
)
def fly_to_object(_work: Workspace, view: SessionView) -> None:
    """Turn to the middle of the current object."""
    if view.current is not None:
        view.navigation.go_to_middle(view.session.region(view.current.id))


@session_command(
    "Sort objects",
    "List the objects in the order in which they were begun, by name, or by size.",
    "Ctrl+9",
)
def sort_objects(work: Workspace, _view: SessionView) -> None:
    """Sort the list of objects in the next way."""
    ways = list(ORDERS)
    work.set_object_order(ways[(ways.index(work.object_order) + 1) % len(ways)])
    work.message.emit(f"Objects {ORDERS[work.object_order]}.")


def _fade(view: SessionView, by: float) -> None:
    own = view.current
    if own is not None:
        wanted = view.display.strength_of(own.id) + by
        view.display.fade(own.id, round(min(max(wanted, 0.0), 1.0), 2))


def _choose(work: Workspace, view: SessionView, by: int) -> None:
    known = [each.id for each in work.listed_objects()]
    own = view.current
    at = known.index(own.id) + by if own is not None else 0
    chosen = known[at % len(known)]
    view.run(lambda session: session.select_object(chosen))
    view.go_to_object(chosen)


OBJECT_VIEW_COMMANDS = (
    only_current,
    outlines,
    fainter,
    stronger,
    object_after,
    object_before,
    fly_to_object,
    sort_objects,
)
