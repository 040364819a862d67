"""The napari layers of one session: masks, boxes, scribbles, points, the outline of the crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Layer

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.adding import add_unselected
from napari_fastsam3d._napari.layers.boxes import BoxesLayer, BoxMark, CropLayer
from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d._napari.layers.outline import Plane
from napari_fastsam3d._napari.layers.points import Mark, PointsLayer
from napari_fastsam3d._napari.layers.rulers import RulerLayer
from napari_fastsam3d._napari.layers.scribbles import ScribblesLayer
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import BoxPrompt, Freeze, Point, Prompt, Scribble

if TYPE_CHECKING:
    from napari.viewer import Viewer


class SessionLayers:
    """Adds the layers of a session to a viewer, draws prompts in them and removes them.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    frame : Frame
        Where the layers lie.
    opacity : float
        Of the mask, in [0, 1].
    crop : callable
        Returns the half-open source box of the crop that the model was given, or None.
    """

    def __init__(
        self, viewer: Viewer, frame: Frame, opacity: float, crop: Callable[[], Box | None]
    ) -> None:
        self._viewer, self._frame, self._crop_box = viewer, frame, crop
        self.mask = MaskLayer(frame, opacity)
        self.boxes = BoxesLayer(frame)
        self.crop = CropLayer(frame, self._crop_in_layer)
        self.scribbles = ScribblesLayer(frame)
        self.points = PointsLayer(frame)
        self.rulers = RulerLayer(frame)

    @property
    def all(self) -> tuple[Layer, ...]:
        """The layers that are always in the viewer, the lowest first."""
        return (self.mask.layer, self.boxes.layer, self.scribbles.layer, self.points.layer)

    def attach(self) -> None:
        """Add to the viewer whatever of these layers it lacks."""
        for layer in self.all:
            if layer not in self._viewer.layers:
                self._add(layer)

    def show(self, visible: bool) -> None:
        """Show or hide every layer."""
        for layer in self.all:
            layer.visible = visible
        self.rulers.layer.visible = visible
        if not visible:
            self.show_crop(False)

    def show_crop(self, shown: bool) -> None:
        """Outline the crop that the model was given, or stop it."""
        layer = self.crop.layer
        if shown and layer not in self._viewer.layers:
            add_unselected(self._viewer, layer)
        elif not shown and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        self.crop.shown = shown
        self.crop.show()

    def show_rulers(self) -> None:
        """Add the layer of the rulers, once it is asked for."""
        layer = self.rulers.layer
        if layer not in self._viewer.layers:
            self._add(layer)
        layer.visible = True

    def move(self, frame: Frame) -> None:
        """Put every layer in another place: a frame of the same volume."""
        self._frame = self.rulers.frame = frame
        self.scribbles.move(frame)
        upright = {"rotate": np.eye(3), "shear": np.zeros(3), "affine": np.eye(4)}
        for layer in (*self.all, self.crop.layer, self.rulers.layer):
            for name, value in {**upright, **frame.placement}.items():
                setattr(layer, name, value)

    def remove(self, keep_mask: bool) -> None:
        """Remove the layers from the viewer, all or all but the mask."""
        self.show_crop(False)
        for layer in self.all:
            if layer in self._viewer.layers and not (keep_mask and layer is self.mask.layer):
                self._viewer.layers.remove(layer)

    def draw(self, prompts: Sequence[Prompt]) -> None:
        """Draw the prompts of an object, and the crop."""
        draw_prompts(self._frame, prompts, self.points, self.boxes)
        self.scribbles.show([each for each in prompts if isinstance(each, Scribble)])
        self.crop.show()

    def show_plane(self, plane: Plane) -> None:
        """Cut boxes and crop by another plane."""
        self.scribbles.follow_view(flat=plane.axis is not None)
        self.boxes.show_plane(plane)
        self.crop.show_plane(plane)

    def _add(self, layer: Layer) -> None:
        # napari fails at a layer that changed while it was hidden: it slices it when it is shown.
        visible, layer.visible = layer.visible, True
        add_unselected(self._viewer, layer)
        layer.visible = visible

    def _crop_in_layer(self) -> Box | None:
        box = self._crop_box()
        return None if box is None else self._frame.box_to_layer(box)


def draw_prompts(
    frame: Frame, prompts: Sequence[Prompt], points: PointsLayer, boxes: BoxesLayer
) -> None:
    """Draw points, boxes and frozen regions in layers that lie in a frame."""
    points.show([_mark(frame, each) for each in prompts if isinstance(each, Point)])
    boxes.show([_box_mark(frame, each) for each in prompts if isinstance(each, BoxPrompt | Freeze)])


def _mark(frame: Frame, point: Point) -> Mark:
    place = frame.to_layer(point.index)[0]
    return Mark(point.id, tuple(float(value) for value in place), point.positive)


def _box_mark(frame: Frame, prompt: BoxPrompt | Freeze) -> BoxMark:
    return BoxMark(prompt.id, frame.box_to_layer(prompt.box), isinstance(prompt, Freeze))
