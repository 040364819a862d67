# pyright: basic
"""What the user must know of the last click, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_fastsam3d._napari.actions import action
from napari_fastsam3d._napari.panels.notice import Notice, Offer
from napari_fastsam3d._napari.panels.status_words import changed
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.prompt import place_of
from napari_fastsam3d.session import (
    BoxPrompt,
    Change,
    Mask,
    ObjectState,
    Point,
    Result,
    SessionState,
)
from napari_fastsam3d.session.actions import AddPrompt, FlipPrompt, MovePrompt
from napari_fastsam3d.session.change import Run

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView

_FAR = 20.0
"""Distance in mm from what was clicked or drawn beyond which a change is told of."""
_LEAST = 0.2
"""Part of the object that must have changed there for it to be told on the picture, from the third
prompt on. On training cases that is one click in five; the second mostly makes the mask anew."""
_BEGINNING = 2


class ClickNews:
    """Tells of what a click did where the user doesn't look, or didn't do, on the picture.

    Parameters
    ----------
    notice : Notice
    view : callable
        Gives the session of the chosen scan, or None.
    undo : callable
        Takes the last step back.
    """

    def __init__(
        self, notice: Notice, view: Callable[[], SessionView | None], undo: Callable[[], None]
    ) -> None:
        self._notice, self._view, self._undo = notice, view, undo
        self._far: Change | None = None
        self._shown = 0
        self._dismissed: Point | None = None
        notice.closed = self._on_closed

    def about(self, result: Result) -> None:
        """Tell what there is to tell after a step; what was told before it is forgotten."""
        view = self._view()
        if view is None or result.stale:
            return
        holder, click = self._kept_click(view)
        self._far, self._shown = self._far_change(view, result), 0
        if holder is not None and click != self._dismissed:
            self._tell_of_holder(view, holder)
        elif result.in_air and not view.session.can_redo:
            self._notice.tell(
                "That click lies in the air around the patient.", (self._offer("undo", self._undo),)
            )
        elif self._far is not None and self._is_much(view, result.object, self._far):
            self._tell_of_far(view, self._far)
        else:
            self._notice.withdraw()

    @property
    def aside(self) -> str:
        """What the last click changed out of sight, in a few words; nothing if nothing."""
        view, far = self._view(), self._far
        if view is None or far is None or far.is_empty:
            return ""
        key = action("show_change").shortcuts[0]
        return f"{changed(far)} of it out of sight{self._where(view, far)} ({key})"

    def note(self, sentence: str) -> None:
        """Tell what a session noted, with what can be done about it."""
        view = self._view()
        if view is None:
            return
        offers: list[Offer] = []
        if view.session.outdated:
            text = "The present model makes them of the same prompts; locked objects stay."
            offers.append(Offer("Make them again", text, view.make_masks_again))
        lost = view.session.overlapped_objects()
        if lost:
            name = view.session.state.object(lost[0].object).name
            offers += [
                Offer(f"Show {name}", "Turn to it.", lambda: self._turn_to(lost[0].object)),
                Offer(
                    "Newer objects win",
                    "Let objects take voxels from those begun before; locked ones keep theirs.",
                    lambda: view.run("set_overlap", "overwrite"),
                ),
            ]
        self._notice.tell(sentence, offers)

    def _turn_to(self, number: int) -> None:
        view = self._view()
        if view is not None and view.session.state.has(number):
            view.turn_to(view.session.state.object(number).prompts[-1])
            view.run("select_object", number)

    def forget(self) -> None:
        """Tell nothing more of what was clicked, as when another scan is chosen."""
        self._far = self._dismissed = None
        self._notice.withdraw()

    def take_over(self) -> None:
        """Give the current object what another keeps from it around the last click."""
        view = self._view()
        holder, click = self._kept_click(view)
        if view is not None and holder is not None and click is not None:
            view.run("take_over", click.index)

    def unlock_holder(self) -> None:
        """Unlock the object that keeps the voxel of the last click."""
        view = self._view()
        holder, _ = self._kept_click(view)
        if view is not None and holder is not None and holder.locked is not None:
            view.run("unlock_object", holder.id)

    def show_change(self) -> None:
        """Turn to the next run of slices that the last click changed out of sight."""
        view = self._view()
        if view is None or self._far is None:
            return
        axis = self._axis(view)
        runs = [] if axis is None else self._far.runs(axis)
        if axis is not None and runs:
            run = runs[self._shown % len(runs)]
            self._shown += 1
            view.turn_to_slice(axis, self._far.busiest(run, axis))

    def revert_change(self) -> None:
        """Take back what the last click changed far from it, for good."""
        view, far = self._view(), self._far
        if view is not None and far is not None and not far.is_empty:
            view.run("edit_mask", far.removed, far.added)

    def _tell_of_holder(self, view: SessionView, holder: ObjectState) -> None:
        if holder.locked is not None:
            offer = self._offer("unlock_holder", self.unlock_holder, f"Unlock {holder.name}")
            why = "is locked and keeps it"
        else:
            offer, why = self._offer("take_over", self.take_over), "keeps it"
        self._notice.tell(f"The voxel you clicked belongs to {holder.name}, which {why}.", (offer,))

    def _tell_of_far(self, view: SessionView, far: Change) -> None:
        self._notice.tell(
            f"Out of sight the mask changed by {changed(far)}{self._where(view, far)}.",
            (
                self._offer("show_change", self.show_change),
                self._offer("revert_change", self.revert_change),
                self._offer("undo", self._undo),
            ),
        )

    def _offer(self, key: str, taken: Callable[[], None], text: str = "") -> Offer:
        entry = action(key)
        return Offer(text or entry.text, entry.hint, taken)

    def _kept_click(self, view: SessionView | None) -> tuple[ObjectState | None, Point | None]:
        """Return who keeps the voxel of the current object's newest click, and that click."""
        own = None if view is None else view.current
        newest = own.prompts[-1] if own is not None and own.prompts else None
        if view is None or own is None or not isinstance(newest, Point):
            return None, None
        return view.session.holder(own.id), newest

    def _on_closed(self) -> None:
        """Don't tell again of the click that the user was told of and let be."""
        _, self._dismissed = self._kept_click(self._view())

    def _far_change(self, view: SessionView, result: Result) -> Change | None:
        """Return what a step changed far from its prompt and off the slice that is shown."""
        place = None if result.change is None else _place(view, result.object)
        if place is None or result.change is None:
            return None
        if len(view.session.state.object(result.object).prompts) < _BEGINNING:
            return None  # the first prompt makes all of it
        far = result.change.far_from(place, _FAR)
        axis = self._axis(view)
        if axis is None:
            return far
        at = view.plane_in_source()
        low, high = [0, 0, 0], list(view.frame.volume.shape)
        low[axis], high[axis] = at, at + 1
        shown = Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
        return Change(far.added.outside(shown), far.removed.outside(shown), far.spacing)

    def _is_much(self, view: SessionView, number: int, far: Change) -> bool:
        """Whether a change is worth a word on the picture."""
        prompts = view.session.state.object(number).prompts
        now = _millilitres(view.session.region(number), far)
        much = sum(far.millilitres) > _LEAST * max(now, far.millilitres[1])
        return len(prompts) > _BEGINNING and much

    def _where(self, view: SessionView, far: Change) -> str:
        axis = self._axis(view)
        runs = [] if axis is None else far.runs(axis)
        return f", {_slices(view, runs, axis)}" if axis is not None and runs else ""

    def _axis(self, view: SessionView) -> int | None:
        """Return the source axis that the shown slices are across; None in the 3D view."""
        axis = view.plane().axis
        return None if axis is None else view.frame.orientation.axes[axis]


def _place(view: SessionView, number: int) -> Box | None:
    """Return where the newest click or box of an object is; None where it is undone or drawn."""
    history = view.session.history
    done = history.actions
    if history.can_redo or not done or done[-1].object != number:
        return None
    match done[-1]:
        case AddPrompt(prompt=Point() | BoxPrompt() as prompt):
            return place_of(prompt)
        case MovePrompt(prompt=prompt) | FlipPrompt(prompt=prompt):
            return _place_of(view.session.state, number, prompt)
    return None


def _place_of(state: SessionState, number: int, prompt: int) -> Box:
    return place_of(state.object(number).prompt(prompt))


def _millilitres(mask: Mask, change: Change) -> float:
    return sum(Change(mask, Mask.empty(), change.spacing).millilitres)


def _slices(view: SessionView, runs: list[Run], axis: int) -> str:
    """Say which slices, by the numbers that the viewer gives them."""
    told = []
    for run in runs[:3]:
        first, last = sorted(view.slice_of(axis, at) for at in run)
        told.append(f"{first}" if first == last else f"{first}-{last}")
    more = " and more" if len(runs) > 3 else ""
    return f"in slice{'s' if len(told) > 1 or '-' in told[0] else ''} {', '.join(told)}{more}"
