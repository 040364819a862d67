# pyright: basic
"""The layers of one session in one viewer: prompts go out to the session, masks come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.boxes import BoxesLayer, BoxMark, CropLayer
from napari_fastsam3d._napari.layers.brush import Brush
from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d._napari.layers.outline import Plane
from napari_fastsam3d._napari.layers.points import Mark, PointsLayer, Ray
from napari_fastsam3d._napari.layers.prompt_selection import PromptSelection
from napari_fastsam3d._napari.main_thread import Bridge, notify, tell
from napari_fastsam3d._napari.session_picture import picture_of
from napari_fastsam3d.errors import FastSAM3DError, JournalError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.prompt import place_of
from napari_fastsam3d.session import (
    BoxPrompt,
    EarlierSession,
    Edit,
    Freeze,
    JournalStatus,
    ObjectState,
    Point,
    Prompt,
    Result,
    SavedSession,
    Session,
    SessionState,
    worked_on,
)

if TYPE_CHECKING:
    from napari.layers import Layer

_MISSED = (
    "In the 3D view a click must hit the mask. Turn to a slice (Ctrl+Y) to click anywhere else."
)

_STRIDE = 50  # steps of undo or redo that are taken at a time


class SessionView:
    """One scan being segmented, as napari shows it.

    Layers are only a view: the session is the store. A prompt made in a layer becomes a verb of
    the session, and every layer is drawn from the session's state.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    image : napari.layers.Image
        The scan; it is never written to.
    frame : Frame
    session : Session
    opacity : float
        Of the mask, in [0, 1].
    """

    state_changed = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    said = Signal(str)
    noted = Signal(str)
    worked = Signal(str, int, int)
    found = Signal(object)
    journalled = Signal(object)

    def __init__(
        self, viewer: Any, image: Image, frame: Frame, session: Session, opacity: float = 0.5
    ) -> None:
        self.viewer, self.image, self.frame, self.session = viewer, image, frame, session
        self.hidden: frozenset[int] = frozenset()
        self.bridge = Bridge()
        self.pending = 0
        self.offer: SavedSession | None = None
        self.trouble: JournalError | None = None
        self.mask = MaskLayer(frame, opacity)
        self.brush = Brush(self.mask, session, self.bridge, self.run, self.said.emit)
        self.boxes = BoxesLayer(frame)
        self.crop = CropLayer(frame, self._crop_box)
        self.points = PointsLayer(frame)
        self.selection = PromptSelection(self)
        self.closers: tuple[Callable[[], None], ...] = (self.bridge.close, session.close)
        self._still = False
        self._target: int | None = None
        self._listen_to_layers()
        self._listen_to_session()
        self.attach()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of this session, the lowest first."""
        return (self.mask.layer, self.boxes.layer, self.points.layer)

    @property
    def current(self) -> ObjectState | None:
        """The object that the next prompt belongs to."""
        state = self.session.state
        return None if state.current is None else state.object(state.current)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts of the current object."""
        return () if self.current is None else self.current.prompts

    def attach(self) -> None:
        """Add to the viewer whatever of these layers it lacks."""
        active = self.viewer.layers.selection.active
        for layer in self.layers:
            if layer not in self.viewer.layers:
                self._add(layer)
        if active is not None:
            self.viewer.layers.selection.active = active
        self.look()
        self.draw()

    def show(self, visible: bool) -> None:
        """Show or hide every layer of this session, as when another scan is chosen."""
        for layer in self.layers:
            layer.visible = visible
        if not visible:
            self.show_crop(False)

    def move(self, frame: Frame) -> None:
        """Put every layer of this session in another place: a frame of the same volume."""
        self.frame = frame
        upright = {"rotate": np.eye(3), "shear": np.zeros(3), "affine": np.eye(4)}
        for layer in (*self.layers, self.crop.layer):
            for name, value in {**upright, **frame.spatial}.items():
                setattr(layer, name, value)

    def show_crop(self, shown: bool) -> None:
        """Outline what the model looks at, or stop it."""
        layer = self.crop.layer
        if shown and layer not in self.viewer.layers:
            active = self.viewer.layers.selection.active
            self.viewer.add_layer(layer)
            self.viewer.layers.selection.active = active
        elif not shown and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        self.crop.shown = shown
        self.crop.show()

    def set_visible(self, number: int, visible: bool) -> None:
        """Show the mask of an object, or hide it; this is a matter of looking, not of the log."""
        self.hidden = self.hidden - {number} if visible else self.hidden | {number}
        self.mask.show(self.session.state.objects, self.hidden)

    def fly_to(self, number: int) -> None:
        """Turn to the last prompt of an object, unless its mask is in the shown slice already."""
        prompts = self.session.state.object(number).prompts
        plane = self.plane()
        region = self.frame.box_to_layer(self.session.region(number).box)
        axis = plane.axis
        if not prompts or axis is None or region.start[axis] <= plane.position < region.stop[axis]:
            return
        place = self._middle(prompts[-1])[axis]
        self.viewer.dims.set_current_step(axis + self.viewer.dims.ndim - 3, round(place))

    def turn_to(self, prompt: Prompt) -> None:
        """Move the slices to the middle of what a prompt is about."""
        world = self.mask.layer.data_to_world(np.floor(self._middle(prompt) + 0.5))
        dims = self.viewer.dims
        dims.set_point(tuple(range(dims.ndim - 3, dims.ndim)), tuple(float(x) for x in world[-3:]))

    def turn_to_slice(self, axis: int, at: int) -> None:
        """Move to a slice across a source axis."""
        place = self.slice_of(axis, at)
        shown = self.frame.orientation.axes.index(axis)
        self.viewer.dims.set_current_step(shown + self.viewer.dims.ndim - 3, place)

    def slice_of(self, axis: int, at: int) -> int:
        """Return the number that the viewer gives to a slice across a source axis."""
        index = [0, 0, 0]
        index[axis] = at
        return round(float(self.frame.to_layer(index)[0][self.frame.orientation.axes.index(axis)]))

    def plane_in_source(self) -> int:
        """Return the source index of the shown slice, along the source axis that it is across."""
        plane = self.plane()
        place = [0.0, 0.0, 0.0]
        place[plane.axis or 0] = float(plane.position)
        source = self.frame.to_source(place).reshape(3)
        return round(float(source[self.frame.orientation.axes[plane.axis or 0]]))

    def go_to(self, step: int) -> None:
        """Undo or redo until so many steps are done, without a redraw for each.

        A long way is gone in pieces, so that the window stays alive; whatever else the user does
        meanwhile ends it.
        """
        self._target = step
        self._go_on()

    def _go_on(self) -> None:
        if self._target is None:
            return
        way = self._target - self.session.history.cursor
        self._still = True
        try:
            for _ in range(min(abs(way), _STRIDE)):
                if self.run("redo" if way > 0 else "undo") is None:
                    self._target = None
                    break
        finally:
            self._still = False
        if abs(way) > _STRIDE:
            self.bridge.soon(self._go_on)
        else:
            self._target = None
        self._show()

    def run(self, verb: str, *args: Any, **kwargs: Any) -> Future[Result] | None:
        """Call a verb of the session without waiting; a bad prompt is told and undone.

        Returns
        -------
        Future of Result, or None
            None where the session refused.
        """
        if not self._still:
            self._target = None
        try:
            future: Future[Result] = getattr(self.session.futures, verb)(*args, **kwargs)
        except FastSAM3DError as error:
            notify(error)
            self.draw()
            return None
        self.expect([future])
        self._show()
        return future

    def expect(self, answers: Sequence[Future[Result]]) -> None:
        """Show what the session answers, and until then that it works."""
        self.pending += len(answers)
        for future in answers:
            self.bridge.watch(future, self._on_result, self._on_failure)

    def make_masks_again(self) -> None:
        """Let the present model make the masks that another one made; locked ones stay."""
        for number in self.session.outdated:
            self.run("make_mask_again", number)

    def draw(self) -> None:
        """Draw prompts, colours and crop from the session's state."""
        self.points.show([self._mark(p) for p in self.prompts if isinstance(p, Point)])
        boxes = [p for p in self.prompts if isinstance(p, BoxPrompt | Freeze)]
        self.boxes.show([self._box_mark(p) for p in boxes])
        self.mask.show(self.session.state.objects, self.hidden)
        self.selection.follow()
        self.brush.follow()
        self.crop.show()

    def keep_journal(self, earlier: EarlierSession | None = None) -> None:
        """Keep every change on disk from now on; `found` tells of earlier work on this scan.

        Parameters
        ----------
        earlier : EarlierSession, optional
            A session on this scan that is gone on with at once.
        """
        found = self.session.keep_journal(earlier=earlier)
        # Where it fails, the status of the journal tells.
        then = self._on_found if earlier is None else self.resume
        self.bridge.watch(found, then, lambda _error: None)

    def resume(self, kept: SavedSession) -> None:
        """Go on with the earlier work that was found, where the user looked then."""
        self.offer = None

        def show(_done: None) -> None:
            self.draw()
            self._look_again(kept.view)

        self.bridge.watch(self.session.resume(), show, notify)

    @property
    def begun(self) -> bool:
        """Whether anything was done in this session yet."""
        return bool(self.session.history.entries)

    def decline(self) -> None:
        """Offer the earlier work no more; it stays in the list of earlier sessions."""
        self.offer = None

    def keep_view(self) -> None:
        """Note in the journal which slices the user looks at, and how that looks."""
        self.session.keep_view({"step": [int(n) for n in self.viewer.dims.current_step[-3:]]})
        if worked_on(self.session.state):
            self.session.keep_picture(picture_of(self))

    def _look_again(self, view: Any) -> None:
        try:
            axes = range(self.viewer.dims.ndim - 3, self.viewer.dims.ndim)
            self.viewer.dims.set_current_step(tuple(axes), tuple(view["step"]))
        except (KeyError, TypeError, ValueError):
            return  # no view was kept; where the user looks now is as good

    def look(self) -> None:
        """Cut boxes and crop by the plane that the viewer shows now."""
        plane = self.plane()
        self.boxes.look_at(plane)
        self.crop.look_at(plane)
        self.brush.look(flat=self.viewer.dims.ndisplay == 2)
        self.selection.follow()

    def plane(self) -> Plane:
        """Return the plane that the viewer shows, in layer indices."""
        dims = self.viewer.dims
        extra = dims.ndim - 3
        across = [axis - extra for axis in dims.not_displayed if axis >= extra]
        if len(across) != 1:
            return Plane(None)
        place = self.mask.layer.world_to_data(np.asarray(dims.point))
        return Plane(across[0], int(np.floor(place[-3:][across[0]] + 0.5)))

    def aim(self, world: tuple[float, ...]) -> None:
        """Answer a click at a world position ahead, while the user still aims."""
        if self.pending or (self.current is not None and self.current.locked is not None):
            return
        place = self.mask.layer.world_to_data(np.asarray(world))
        index = self.frame.source_index([float(value) for value in place])
        clicked = {prompt.index for prompt in self.prompts if isinstance(prompt, Point)}
        if index not in clicked and Box.whole(self.frame.volume.shape).contains(index):
            self.session.prefetch(index, self.points.positive)

    def holds(self, world: tuple[float, ...]) -> bool:
        """Whether a world position lies in the scan."""
        place = self.mask.layer.world_to_data(np.asarray(world))
        index = self.frame.source_index([float(value) for value in place])
        return Box.whole(self.frame.volume.shape).contains(index)

    def close(self) -> None:
        """Stop the session; its mask stays in the viewer as an ordinary layer.

        Nothing is waited for: the journal is written to its end in its own thread.
        """
        if worked_on(self.session.state):
            self.session.keep_picture(picture_of(self))
        self.brush.close()
        for close in self.closers:
            close()

    def remove_layers(self, keep_mask: bool = True) -> None:
        """Take the layers of this session out of the viewer, by default not a mask with objects."""
        self.show_crop(False)
        kept = keep_mask and self.session.state.objects
        for layer in self.layers:
            if layer in self.viewer.layers and not (kept and layer is self.mask.layer):
                self.viewer.layers.remove(layer)

    def _add(self, layer: Layer) -> None:
        # napari fails at a layer that changed while it was hidden: it slices it when it is shown.
        visible, layer.visible = layer.visible, True
        self.viewer.add_layer(layer)
        layer.visible = visible

    def _listen_to_layers(self) -> None:
        self.points.added.connect(self._add_point)
        self.points.added_in_3d.connect(self._add_point_in_3d)
        self.points.moved.connect(self._move_point)
        self.points.deleted.connect(self._delete)
        self.boxes.added.connect(self._add_box)
        self.boxes.froze.connect(self._freeze)
        self.boxes.moved.connect(self._move_box)
        self.boxes.deleted.connect(self._delete)
        self.boxes.refused.connect(self._refuse)

    def _listen_to_session(self) -> None:
        self._connected: list[tuple[Any, Callable[..., Any]]] = [
            (self.session.changed, self.bridge.to_main(self._on_changed)),
            (self.session.predicted, self.bridge.to_main(self._on_predicted)),
            (self.session.progress, self.bridge.to_main(self.worked.emit)),
            (self.session.journalled, self.bridge.to_main(self._on_journalled)),
            (self.session.noted, self.bridge.to_main(self._on_noted)),
        ]
        for signal, slot in self._connected:
            signal.connect(slot)

    def _add_point(self, place: tuple[float, ...], positive: bool) -> None:
        self._later("add_point", self.frame.source_index(place), positive=positive)

    def _add_point_in_3d(self, ray: Ray, positive: bool) -> None:
        start, end = self.mask.layer.get_ray_intersections(
            np.asarray(ray.position), np.asarray(ray.direction), list(ray.axes)
        )
        hit = None if start is None or end is None else self.mask.first_hit(start, end)
        if hit is None:
            self._refuse(_MISSED)
        else:
            self._add_point(hit, positive)

    def _add_box(self, box: Box, guessed: int | None) -> None:
        source = self.frame.box_to_source(box)
        axis = None if guessed is None else self.frame.orientation.axes[guessed]
        self._later("add_box", source.start, source.stop, axis)

    def _freeze(self, box: Box) -> None:
        source = self.frame.box_to_source(box)
        self._later("freeze_region", source.start, source.stop)

    def _move_point(self, prompt: int, place: tuple[float, ...]) -> None:
        self._change("move_prompt", prompt, self.frame.source_index(place))

    def _move_box(self, prompt: int, box: Box) -> None:
        self._change("move_prompt", prompt, self.frame.box_to_source(box))

    def _delete(self, prompts: tuple[int, ...]) -> None:
        for prompt in prompts:
            self._change("delete_prompt", prompt)

    def _change(self, verb: str, prompt: int, *args: Any) -> None:
        """Change a prompt, unless an undo has taken it away since the user touched it."""

        def change() -> None:
            kept = {each.id for shown in self.session.state.objects for each in shown.prompts}
            if prompt in kept:
                self.run(verb, prompt, *args)
            else:
                self.draw()

        self.bridge.soon(change)

    def _later(self, verb: str, *args: Any, **kwargs: Any) -> None:
        # The layer is still in the middle of its own change: it is redrawn once that is over.
        self.bridge.soon(lambda: self.run(verb, *args, **kwargs))

    def _refuse(self, message: str) -> None:
        self.said.emit(message)
        self.bridge.soon(self.draw)

    def _on_found(self, kept: SavedSession) -> None:
        if worked_on(kept.history.state):
            # Kept, because the user may look at another scan now and come back later.
            self.offer = kept
            self.found.emit(kept)

    def _on_journalled(self, status: JournalStatus) -> None:
        # A disk that is full stays so for a while: that is told once, and stands in the status
        # until it serves again.
        if status.error is not None and self.trouble is None:
            notify(status.error)
        if status.state != "saving":
            self.trouble = status.error
        self.journalled.emit(status)

    def _on_noted(self, sentence: str) -> None:
        tell(sentence)
        self.noted.emit(sentence)

    def _on_changed(self, _state: SessionState) -> None:
        self._show()

    def _show(self) -> None:
        if not self._still:
            self.draw()
            self.state_changed.emit(self.session.state)

    def _on_predicted(self, result: Result) -> None:
        if not result.stale:
            self.brush.redraw(result.box)
            self.crop.show()

    def _on_result(self, result: Result) -> None:
        self.pending -= 1
        self.brush.settle()
        self.finished.emit(result)

    def _on_failure(self, error: BaseException) -> None:
        self.pending -= 1
        notify(error)
        self.brush.settle()
        self.draw()
        self.failed.emit(error)

    def _crop_box(self) -> Box | None:
        crop = self.session.crop()
        return None if crop is None else self.frame.box_to_layer(crop.box)

    def _middle(self, prompt: Prompt) -> NDArray[np.float64]:
        """Layer index (3 floats) of the middle of what a prompt is about."""
        box = place_of(prompt)
        if isinstance(prompt, Edit) and prompt.added.is_empty:
            box = prompt.removed.box
        return self.frame.to_layer(np.add(box.start, np.subtract(box.stop, 1)) / 2)[0]

    def _mark(self, point: Point) -> Mark:
        place = self.frame.to_layer(point.index)[0]
        return Mark(point.id, tuple(float(value) for value in place), point.positive)

    def _box_mark(self, prompt: BoxPrompt | Freeze) -> BoxMark:
        frozen = isinstance(prompt, Freeze)
        return BoxMark(prompt.id, self.frame.box_to_layer(prompt.box), frozen)
