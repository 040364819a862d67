"""A second scan laid over the chosen one, voxel on voxel, and flickering between both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

import numpy as np
from napari.layers import Image, Layer
from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap
from psygnal import Signal
from qtpy.QtWidgets import QInputDialog

from napari_fastsam3d._napari.dialogs.scan_chooser import ask_file, ask_folder
from napari_fastsam3d._napari.dialogs.scan_parts import Part, ask_part, parts_of, read_part
from napari_fastsam3d._napari.host import Host
from napari_fastsam3d._napari.layer_geometry import OVERLAY
from napari_fastsam3d._napari.layers.adding import add_unselected
from napari_fastsam3d._napari.layers.contrast import opening_window
from napari_fastsam3d.geometry.resample_volume import resample_volume

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView
    from napari_fastsam3d.geometry import Volume

Shown = Literal["both", "first", "second"]
_OPACITY = 0.7
_GREY = "gray"
_RISE = 2.0
_FILE, _FOLDER = "A file...", "A DICOM folder..."
_QUESTION = "Which scan lies over {name}? It is taken to lie where its file says."
_BESIDE = "{name} lies beside this scan: no voxel of one is in the other."


class Overlay:
    """Shows a second scan over the chosen one, resampled to its grid by the affines of both.

    Parameters
    ----------
    host : Host
    """

    changed = Signal()
    """Another overlay is shown, or none."""
    turned = Signal(object, object)
    """Which of both scans is looked at: its layer, and its volume on the grid of the first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._put_away: WeakSet[Image] = WeakSet()
        host.switched.connect(self._on_switched)
        host.events.layer_removed.connect(self._on_removed)

    def ask(self, view: SessionView) -> None:
        """Ask which scan is laid over the one of a session, among those that are open and files."""
        open_ones = {
            f"{n}. {each.image.name}": each.frame.volume
            for n, each in enumerate(self._others(view), 1)
        }
        answers = [*open_ones, _FILE, _FOLDER]
        question = _QUESTION.format(name=view.image.name)
        answer, taken = QInputDialog.getItem(
            self._host.parent, "Second scan", question, answers, 0, False
        )
        if not taken:
            return
        if answer in open_ones:
            self.lay(view, lambda: open_ones[answer])
            return
        ask = ask_file if answer == _FILE else ask_folder
        path = ask(self._host.parent)
        if path is not None:
            self.open(view, path)

    def open(self, view: SessionView, path: Path) -> None:
        """Lay the scan of a file over the one of a session."""

        def lay(parts: list[Part]) -> None:
            part = ask_part(self._host.parent, path, parts)
            if part is not None:
                self.lay(view, lambda: read_part(path, part))

        self._host.tasks.run(
            f"Opening {path.name}...", lambda: parts_of(path), lay, "The scan could not be opened."
        )

    def lay(self, view: SessionView, second: Callable[[], Volume]) -> None:
        """Lay a scan over the one of a session.

        Parameters
        ----------
        view : SessionView
        second : callable
            Returns the scan; called in another thread.
        """

        def resampled() -> Image:
            volume = second()
            frame = view.frame
            voxels = resample_volume(volume, frame.volume)
            return Image(
                frame.view(voxels),
                name=f"Over it: {volume.name}",
                contrast_limits=opening_window(volume).limits,
                colormap=_see_through(),  # pyright: ignore[reportArgumentType]
                opacity=_OPACITY,
                blending="translucent",
                metadata={OVERLAY: replace(frame.volume, voxels=voxels, source=volume.source)},
                **frame.placement,
            )

        self._host.tasks.run(
            "Resampling the second scan...",
            resampled,
            lambda layer: self._show(view, layer),
            "Nothing was laid over the scan.",
        )

    def flicker(self, view: SessionView) -> None:
        """Show the second scan alone, or the first one again."""
        self._set(view, "first" if self.shown(view) == "second" else "second")

    def blend(self, view: SessionView) -> None:
        """Show both scans at once, or the first one alone."""
        self._set(view, "first" if self.shown(view) == "both" else "both")

    def shown(self, view: SessionView) -> Shown:
        """Return which of both scans are seen."""
        layer = view.overlay
        if layer is None or not layer.visible:
            return "first"
        return "second" if layer.opacity == 1 else "both"

    def looked_at(self, view: SessionView) -> tuple[Image, Volume]:
        """Return layer and volume of the scan that window and level are of."""
        layer = view.overlay
        if layer is None or self.shown(view) != "second":
            return view.image, view.frame.volume
        return layer, layer.metadata[OVERLAY]

    def _set(self, view: SessionView, shown: Shown) -> None:
        layer = view.overlay
        if layer is None:
            return
        if shown == "first":
            self._put_away.add(layer)
        else:
            self._put_away.discard(layer)
        layer.visible = self._is_seen(view)
        layer.opacity = 1.0 if shown == "second" else _OPACITY
        layer.colormap = _GREY if shown == "second" else _see_through()
        if view is self._host.view:
            seen = {"first": view.image.name, "second": layer.name, "both": "both scans"}
            self._turn(view)
            self._host.tell(f"You see {seen[shown]}.")

    def _is_seen(self, view: SessionView) -> bool:
        """Whether the second scan of a session is to be seen: its first one is, and both may be."""
        return view is self._host.view and view.overlay not in self._put_away

    def _others(self, view: SessionView) -> list[SessionView]:
        return [each for each in self._host.views.all if each is not view]

    def _show(self, view: SessionView, layer: Image) -> None:
        layers = self._host.viewer.layers
        if view not in self._host.views.all or view.image not in layers:
            return
        if view.overlay is not None and view.overlay in layers:
            layers.remove(view.overlay)
        voxels = np.asarray(layer.data)
        low, high = float(voxels.min()), float(voxels.max())
        if low == high:
            self._host.tell(_BESIDE.format(name=layer.name))
            return
        layer.contrast_limits_range = (
            min(low, layer.contrast_limits[0] or low),
            max(high, layer.contrast_limits[1] or high),
        )
        view.overlay = layer
        layer.visible = True
        add_unselected(self._host.viewer, layer)
        layers.move(layers.index(layer), layers.index(view.image) + 1)
        self.changed.emit()
        self._set(view, "both")

    def _on_switched(self, _view: SessionView | None) -> None:
        for each in self._host.views.all:
            if each.overlay is not None:
                each.overlay.visible = self._is_seen(each)

    def _on_removed(self, layer: Layer) -> None:
        for each in self._host.views.all:
            if layer is each.overlay or layer == each.overlay:
                each.overlay = None
                self._turn(each)
                self.changed.emit()

    def _turn(self, view: SessionView) -> None:
        if view is self._host.view:
            self.turned.emit(*self.looked_at(view))


def _see_through() -> Colormap:
    """Return colours that hide nothing of the first scan where the second one is dark."""
    colours = AVAILABLE_COLORMAPS["inferno"].colors.copy()
    colours[:, 3] = np.minimum(1, _RISE * np.linspace(0, 1, len(colours)))
    return Colormap(colours, name="over")
