# pyright: basic
"""What can be done with the current object besides clicking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_fastsam3d._napari.bridge import tell
from napari_fastsam3d._napari.object_dialogs import ask_colour, ask_name, ask_value
from napari_fastsam3d.session import Organ

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView


class ObjectVerbs:
    """The actions of the table that concern the current object.

    Parameters
    ----------
    parent : QWidget
        Over which questions appear.
    view : callable
        Gives the session of the chosen scan, or None.
    """

    def __init__(self, parent: QWidget, view: Callable[[], SessionView | None]) -> None:
        self._parent, self._view = parent, view

    def remove_object(self) -> None:
        """Remove the current object with its mask."""
        if (view := self._chosen()) is not None:
            view.run("remove_object")

    def lock_object(self) -> None:
        """Lock the current object, or unlock it."""
        view = self._chosen()
        if view is not None and (view.prompts or self._is_locked(view)):
            view.lock()

    def accept_object(self) -> None:
        """Mark the current object as finished; unlock it if it is finished already."""
        view = self._chosen()
        if view is None or view.current is None:
            return
        if view.prompts or view.current.accepted:
            view.run("unlock_object" if view.current.accepted else "accept_object")

    def exclude_neighbours(self) -> None:
        """Add an excluding point where the current object runs into each locked one."""
        view = self._chosen()
        if view is None or view.pending or self._is_locked(view):
            return
        found = view.session.intrusions()
        if not found:
            tell("This object runs into no locked one.")
        for index in found:
            view.run("add_point", index, positive=False)

    def name_object(self) -> None:
        """Ask what the current object is called; an organ's usual value comes with its name."""
        view = self._chosen()
        if view is None or view.current is None:
            return
        shown, told = view.current, ask_name(self._parent, view.current)
        if told is None:
            return
        name = told.name if isinstance(told, Organ) else told
        if name != shown.name:
            view.run("rename_object", shown.id, name)
        if isinstance(told, Organ) and self._is_free(view, told.value):
            view.run("revalue_object", shown.id, told.value)

    def value_object(self) -> None:
        """Ask for the label value of the current object."""
        view = self._chosen()
        if view is None or view.current is None:
            return
        value = ask_value(self._parent, view.current)
        if value is not None and value != view.current.value:
            view.run("revalue_object", view.current.id, value)

    def colour_object(self) -> None:
        """Ask for the colour of the current object."""
        view = self._chosen()
        if view is None or view.current is None:
            return
        colour = ask_colour(self._parent, view.current)
        if colour is not None:
            view.run("recolour_object", view.current.id, colour)

    def set_overlap(self, rule: str) -> None:
        """Choose whose a voxel is that several objects claim."""
        view = self._view()
        if view is not None and rule != view.session.state.overlap:
            view.run("set_overlap", rule)

    def _chosen(self) -> SessionView | None:
        view = self._view()
        return view if view is not None and view.current is not None else None

    @staticmethod
    def _is_locked(view: SessionView) -> bool:
        return view.current is not None and view.current.locked is not None

    @staticmethod
    def _is_free(view: SessionView, value: int) -> bool:
        return all(each.value != value for each in view.session.state.objects)
