"""What the last click did: its result, what it changed out of sight, and who keeps its voxel."""

from __future__ import annotations

from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.inference.prompt import place_of
from napari_fastsam3d.session import BoxPrompt, Change, ObjectState, Point, Result, Scribble
from napari_fastsam3d.session.change import Run
from napari_fastsam3d.session.prompt_actions import AddPrompt, FlipPrompt, MovePrompt

_FAR = 20.0
"""Distance in mm from what was clicked or drawn beyond which a change counts as out of sight."""
_BEGINNING = 2
"""The first prompt makes all of the mask, so only later ones can change it elsewhere."""


class LastClick:
    """Follows the results of the current session.

    Attributes
    ----------
    far_change : Change or None
        What the last step changed far from its prompt and off the slice that was shown.
    """

    def __init__(self) -> None:
        self._view: SessionView | None = None
        self._results: dict[int, Result] = {}
        self._shown = 0
        self.far_change: Change | None = None

    def serve(self, view: SessionView | None) -> None:
        """Follow another session."""
        self._view = view
        self.forget()

    def forget(self) -> None:
        """Forget all results, as when another model makes the masks."""
        self._results, self.far_change = {}, None

    def update(self, result: Result) -> None:
        """Take the result of a step."""
        if result.stale or self._view is None:
            return
        if result.quality is not None:
            self._results[result.object] = result
        self.far_change, self._shown = _far_change(self._view, result), 0

    @property
    def result(self) -> Result | None:
        """The last result of the current object, unless its prompts are gone since."""
        own = None if self._view is None else self._view.current
        return self._results.get(own.id) if own is not None and own.prompts else None

    @property
    def click(self) -> Point | Scribble | None:
        """The newest prompt of the current object, if it is a point or was drawn."""
        prompts = () if self._view is None else self._view.prompts
        newest = prompts[-1] if prompts else None
        return newest if isinstance(newest, Point | Scribble) else None

    @property
    def kept(self) -> Index | None:
        """The voxel of the newest click or scribble that another object keeps, source index."""
        view = self._view
        return None if view is None or self.click is None else view.session.kept_voxel()

    @property
    def holder(self) -> ObjectState | None:
        """The object that keeps the voxel of the newest click from the current one."""
        view = self._view
        if view is None or view.current is None or self.click is None:
            return None
        return view.session.holder(view.current.id)

    def show_next_change(self) -> None:
        """Go to the next run of slices that were changed out of sight."""
        view, far = self._view, self.far_change
        axis = None if view is None else view.navigation.source_axis()
        if view is None or far is None or axis is None:
            return
        runs = far.runs(axis)
        if runs:
            run = runs[self._shown % len(runs)]
            self._shown += 1
            view.navigation.go_to_slice(axis, far.busiest(run, axis))

    def far_slices(self) -> str:
        """Return which slices were changed out of sight, by the numbers that the viewer gives."""
        view, far = self._view, self.far_change
        axis = None if view is None else view.navigation.source_axis()
        if view is None or far is None or axis is None:
            return ""
        return _slices(view, far.runs(axis), axis)


def _far_change(view: SessionView, result: Result) -> Change | None:
    place = None if result.change is None else _prompt_box(view, result.object)
    if place is None or result.change is None:
        return None
    if len(view.session.state.object(result.object).prompts) < _BEGINNING:
        return None
    far = result.change.far_from(place, _FAR)
    axis = view.navigation.source_axis()
    if axis is None:
        return far
    at = view.navigation.source_slice()
    low, high = [0, 0, 0], list(view.frame.volume.shape)
    low[axis], high[axis] = at, at + 1
    shown = Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    return Change(far.added.outside(shown), far.removed.outside(shown), far.spacing)


def _prompt_box(view: SessionView, number: int) -> Box | None:
    """Return where an object's newest click, box or scribble is; None where undone or painted."""
    history = view.session.history
    done = history.actions
    if history.can_redo or not done or done[-1].object != number:
        return None
    match done[-1]:
        case AddPrompt(prompt=Point() | BoxPrompt() | Scribble() as prompt):
            return place_of(prompt)
        case MovePrompt(prompt=prompt) | FlipPrompt(prompt=prompt):
            return place_of(view.session.state.object(number).prompt(prompt))
        case _:
            return None


def _slices(view: SessionView, runs: list[Run], axis: int) -> str:
    if not runs:
        return ""
    named: list[str] = []
    for run in runs[:3]:
        first, last = sorted(view.navigation.slice_number(axis, at) for at in run)
        named.append(f"{first}" if first == last else f"{first}-{last}")
    more = " and more" if len(runs) > 3 else ""
    return f"in slice{'s' if len(named) > 1 or '-' in named[0] else ''} {', '.join(named)}{more}"
