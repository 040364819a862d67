"""What the user does to the prompts in the layers, as commands of the session."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import numpy as np
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.boxes import BoxesLayer
from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d._napari.layers.points import PointsLayer, Ray
from napari_fastsam3d._napari.layers.scribbles import Drawing, ScribblesLayer
from napari_fastsam3d._napari.main_thread import Dispatcher
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.drawing import voxels_along
from napari_fastsam3d.session import Result, Session
from napari_fastsam3d.session.commands import Commands

SessionCommand = Callable[[Commands], "Future[Result]"]
CommandRunner = Callable[[SessionCommand], "Future[Result] | None"]
"""Runs a command of the session without waiting; None where the session refused."""

_FEWEST_CORNERS = 3
_MISSED = (
    "In the 3D view a click must hit the mask. Turn to a slice (Ctrl+Y) to click anywhere else."
)


class PromptedView(Protocol):
    """A session, where its layers lie, and how the user hears of it."""

    mask: MaskLayer
    frame: Frame
    session: Session
    dispatcher: Dispatcher
    message = Signal(str)

    def run(self, command: SessionCommand) -> Future[Result] | None:
        """Run a command of the session without waiting; None where it refused."""
        ...


class PromptInput:
    """Turns prompts that are made, moved and deleted in the layers into commands.

    Parameters
    ----------
    view : PromptedView
        Whose session runs them.
    points, boxes : PointsLayer, BoxesLayer
        Its own, or those of another viewer.
    draw : callable
        Draws these layers as the session has them.
    scribbles : ScribblesLayer, optional
        In which scribbles and lassos are drawn.
    """

    def __init__(
        self,
        view: PromptedView,
        points: PointsLayer,
        boxes: BoxesLayer,
        draw: Callable[[], object],
        scribbles: ScribblesLayer | None = None,
    ) -> None:
        self._mask, self._frame, self._session = view.mask, view.frame, view.session
        self._dispatcher, self._run, self._draw = view.dispatcher, view.run, draw
        self._message = view.message
        points.added.connect(self._add_point)
        points.added_in_3d.connect(self._add_point_in_3d)
        points.moved.connect(self._move_point)
        points.deleted.connect(self._delete)
        boxes.added.connect(self._add_box)
        boxes.frozen.connect(self._freeze)
        boxes.moved.connect(self._move_box)
        boxes.deleted.connect(self._delete)
        boxes.refused.connect(self._refuse)
        if scribbles is not None:
            scribbles.drawn.connect(self._add_drawing)

    def _add_point(self, place: tuple[float, ...], positive: bool) -> None:
        index = self._frame.source_index(place)
        self._later(lambda session: session.add_point(index, positive=positive))

    def _add_point_in_3d(self, ray: Ray, positive: bool) -> None:
        start, end = self._mask.layer.get_ray_intersections(
            np.asarray(ray.position), np.asarray(ray.direction), list(ray.axes)
        )
        hit = None if start is None or end is None else self._mask.first_hit(start, end)
        if hit is None:
            self._refuse(_MISSED)
        else:
            self._add_point(hit, positive)

    def _add_box(self, box: Box, guessed: int | None) -> None:
        source = self._frame.box_to_source(box)
        axis = None if guessed is None else self._frame.orientation.axes[guessed]
        self._later(lambda session: session.add_box(source.start, source.stop, axis))

    def _freeze(self, box: Box) -> None:
        source = self._frame.box_to_source(box)
        self._later(lambda session: session.freeze_region(source.start, source.stop))

    def _add_drawing(self, drawing: Drawing) -> None:
        source = self._frame.to_source(drawing.path)
        if drawing.tool == "scribble":
            line = self._frame.to_source(voxels_along(drawing.path)).round()
            self._later(lambda session: session.add_scribble(line, drawing.positive))
            return
        axis = self._frame.orientation.axes[drawing.axis]
        plane = (axis, int(np.floor(source[0, axis] + 0.5)))
        outline = np.delete(source, axis, axis=1)
        if len(outline) < _FEWEST_CORNERS:
            self._refuse("Drag a line round the structure: a single click makes no lasso.")
        else:
            self._later(lambda session: session.add_lasso(plane, outline, drawing.positive))

    def _move_point(self, prompt: int, place: tuple[float, ...]) -> None:
        index = self._frame.source_index(place)
        self._change(prompt, lambda session: session.move_prompt(prompt, index))

    def _move_box(self, prompt: int, box: Box) -> None:
        source = self._frame.box_to_source(box)
        self._change(prompt, lambda session: session.move_prompt(prompt, source))

    def _delete(self, prompts: tuple[int, ...]) -> None:
        for prompt in prompts:
            self._change(prompt, lambda session, prompt=prompt: session.delete_prompt(prompt))

    def _change(self, prompt: int, command: SessionCommand) -> None:
        """Change a prompt, unless an undo has taken it away since the user touched it."""

        def change() -> None:
            objects = self._session.state.objects
            if any(prompt == kept.id for each in objects for kept in each.prompts):
                self._run(command)
            else:
                self._draw()

        self._dispatcher.defer(change)

    def _later(self, command: SessionCommand) -> None:
        # The layer is still in the middle of its own change: it is redrawn once that is over.
        self._dispatcher.defer(lambda: self._run(command))

    def _refuse(self, message: str) -> None:
        self._message.emit(message)
        self._dispatcher.defer(self._draw)
