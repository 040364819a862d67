# pyright: basic
"""What can be done with the current object besides clicking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_fastsam3d._napari.dialogs.objects import ask_colour, ask_name, ask_value
from napari_fastsam3d._napari.main_thread import tell
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.session import ObjectState

if TYPE_CHECKING:
    from napari_fastsam3d._napari.object_files import Work
    from napari_fastsam3d._napari.session_view import SessionView


class ObjectVerbs:
    """The actions of the table that concern the current object.

    Parameters
    ----------
    parent : QWidget
        Over which questions appear.
    view : callable
        Gives the session of the chosen scan, or None.
    work : Work
        Does what may take long.
    """

    def __init__(
        self,
        parent: QWidget,
        view: Callable[[], SessionView | None],
        work: Work,
    ) -> None:
        self._parent, self._view, self._work = parent, view, work

    def remove_object(self) -> None:
        """Remove the current object with its mask."""
        if chosen := self._chosen():
            chosen[0].run("remove_object")

    def lock_object(self) -> None:
        """Lock the current object, or unlock it."""
        if chosen := self._chosen():
            view, own = chosen
            if own.locked is not None:
                view.run("unlock_object")
            elif own.prompts:
                view.run("lock_object")

    def accept_object(self) -> None:
        """Mark the current object as finished; unlock it if it is finished already."""
        if chosen := self._chosen():
            view, own = chosen
            if own.accepted:
                view.run("unlock_object")
            elif own.prompts:
                view.run("accept_object")

    def exclude_neighbours(self) -> None:
        """Add an excluding point where the current object runs into each locked one."""
        chosen = self._chosen()
        if chosen is None or chosen[0].pending or chosen[1].locked is not None:
            return
        view, own = chosen
        before = view.session.state

        def exclude(found: list[Index]) -> None:
            if self._view() is not view or view.pending or view.session.state != before:
                tell("Nothing was excluded: the objects changed meanwhile. Ask again.")
            elif not found:
                tell("This object runs into no locked one.")
            else:
                for index in found:
                    view.run("add_point", index, positive=False)

        self._work(
            f"Looking where {own.name} runs into locked objects...",
            lambda: view.session.intrusions(own.id),
            exclude,
            "Nothing was excluded.",
        )

    def name_object(self) -> None:
        """Ask what the current object is called; an organ's usual value comes with its name."""
        if not (chosen := self._chosen()):
            return
        view, own = chosen
        told = ask_name(self._parent, own, view.session.state)
        if told is None:
            return
        name, value = told
        if name != own.name:
            view.run("rename_object", own.id, name)
        if value is not None:
            view.run("revalue_object", own.id, value)

    def value_object(self) -> None:
        """Ask for the label value of the current object."""
        if chosen := self._chosen():
            view, own = chosen
            value = ask_value(self._parent, own)
            if value is not None and value != own.value:
                view.run("revalue_object", own.id, value)

    def colour_object(self) -> None:
        """Ask for the colour of the current object."""
        if chosen := self._chosen():
            view, own = chosen
            colour = ask_colour(self._parent, own)
            if colour is not None:
                view.run("recolour_object", own.id, colour)

    def set_overlap(self, rule: str) -> None:
        """Choose whose a voxel is that several objects claim."""
        view = self._view()
        if view is not None and rule != view.session.state.overlap:
            view.run("set_overlap", rule)

    def _chosen(self) -> tuple[SessionView, ObjectState] | None:
        view = self._view()
        own = None if view is None else view.current
        return None if view is None or own is None else (view, own)
