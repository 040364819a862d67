"""The layers of a pane: copies of the scan and its masks, and prompts of its own."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Image, Labels, Layer
from napari.utils.events import Event

from napari_fastsam3d._napari.layers.boxes import BoxesLayer
from napari_fastsam3d._napari.layers.outline import Plane
from napari_fastsam3d._napari.layers.points import PointsLayer
from napari_fastsam3d._napari.layers.prompt_input import PromptInput
from napari_fastsam3d._napari.layers.rulers import RulerLayer
from napari_fastsam3d._napari.layers.scribbles import ScribblesLayer
from napari_fastsam3d._napari.layers.session_layers import draw_prompts
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d.session import Scribble

_SOLID = 3  # napari fails at flat shapes that are added while 3D is shown
_OF_SCAN = ("contrast_limits", "colormap", "gamma", "interpolation2d", "opacity")
_OF_MASK = ("data", "colormap", "opacity", "contour", "selected_label", "brush_size")


class Copied:
    """Keeps attributes of a layer as those of another.

    Parameters
    ----------
    source, copy : Layer
    names : sequence of str
        Of attributes that have an event of the same name.
    """

    def __init__(self, source: Layer, copy: Layer, names: Sequence[str]) -> None:
        self._source, self._copy = source, copy
        self._emitters = [getattr(source.events, name) for name in names]
        for name, emitter in zip(names, self._emitters, strict=True):
            setattr(copy, name, getattr(source, name))
            emitter.connect(self._follow)

    def close(self) -> None:
        """Follow no more."""
        for emitter in self._emitters:
            emitter.disconnect(self._follow)

    def _follow(self, event: Event) -> None:
        setattr(self._copy, event.type, getattr(self._source, event.type))


class PaneLayers:
    """Shows a session in another viewer than that which holds it.

    Scan and masks are the same arrays in memory, so nothing is kept twice.

    Parameters
    ----------
    view : SessionView
    """

    def __init__(self, view: SessionView) -> None:
        self._view, frame = view, view.frame
        shown, mask = view.image, view.mask.layer
        self.image = Image(
            frame.view(frame.volume.voxels),
            name=shown.name,
            contrast_limits=list(shown.contrast_limits),  # pyright: ignore[reportArgumentType]
            **frame.placement,
        )
        self.mask = Labels(mask.data, name=mask.name, colormap=mask.colormap, **frame.placement)
        self.boxes = BoxesLayer(frame, view.boxes.rule)
        self.points = PointsLayer(frame)
        self._pairs: list[tuple[Layer, Layer]] = [(self.image, shown), (self.mask, mask)]
        copies = [Copied(shown, self.image, _OF_SCAN), Copied(mask, self.mask, _OF_MASK)]
        self._overlay: tuple[Layer, ...] = ()
        if (second := view.overlay) is not None:
            over = Image(second.data, name=second.name, **frame.placement)
            copies.append(Copied(second, over, _OF_SCAN))
            self._pairs.append((over, second))
            self._overlay = (over,)
        self._copies = tuple(copies)
        self.scribbles, self.rulers = ScribblesLayer(frame), RulerLayer(frame)
        self._input = PromptInput(view, self.points, self.boxes, self.draw, self.scribbles)
        self.rulers.changed.connect(self._give_rulers)
        view.rulers.changed.connect(self._take_rulers)
        self._flat = True
        for _, layer in self._pairs:
            layer.events.visible.connect(self._show_visible)
        view.brush.attach(self.mask)
        view.mask.written.connect(self._refresh)
        view.state_changed.connect(self.draw, check_nargs=False)
        mask.events.paint.connect(self._refresh)

    @property
    def all(self) -> tuple[Layer, ...]:
        """The layers, the lowest first."""
        drawn = (self.scribbles.layer, self.points.layer, self.rulers.layer)
        return (self.image, *self._overlay, self.mask, self.boxes.layer, *drawn)

    def show_slices(self, flat: bool) -> None:
        """Show scan and masks, or neither: in 3D they would take a card's memory again."""
        self._flat = flat
        self.scribbles.follow_view(flat)
        self.rulers.layer.visible = flat
        self._view.dispatcher.defer(self._take_rulers)
        self._show_visible()

    def draw(self, _change: object = None) -> None:
        """Draw the prompts of the current object."""
        prompts = self._view.prompts
        draw_prompts(self._view.frame, prompts, self.points, self.boxes)
        self.scribbles.show([each for each in prompts if isinstance(each, Scribble)])

    def show_plane(self, plane: Plane) -> None:
        """Cut boxes by another plane."""
        self.boxes.show_plane(plane)

    def close(self) -> None:
        """Leave the session alone."""
        self._view.brush.detach(self.mask)
        self._view.rulers.changed.disconnect(self._take_rulers)
        self._view.mask.written.disconnect(self._refresh)
        self._view.state_changed.disconnect(self.draw)
        self._view.mask.layer.events.paint.disconnect(self._refresh)
        for _, layer in self._pairs:
            layer.events.visible.disconnect(self._show_visible)
        for each in self._copies:
            each.close()

    def _give_rulers(self) -> None:
        def give() -> None:
            if self._view.viewer.dims.ndisplay == _SOLID:
                return
            self._view.show_rulers()
            self._view.rulers.copy(self.rulers, tell=True)

        # The layer is still in the middle of its own change.
        self._view.dispatcher.defer(give)

    def _take_rulers(self) -> None:
        if self._flat:
            self.rulers.copy(self._view.rulers)

    def _show_visible(self, _event: Event | None = None) -> None:
        for own, shown in self._pairs:
            own.visible = self._flat and shown.visible

    def _refresh(self, _change: object = None) -> None:
        self.mask.refresh(extent=False, thumbnail=False)
