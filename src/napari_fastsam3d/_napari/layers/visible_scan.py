"""Which scan the canvas shows, and whether it is the one that a click segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from napari.layers import Image, Layer

from napari_fastsam3d._napari.layer_geometry import OVERLAY
from napari_fastsam3d._napari.session_view import SessionView

if TYPE_CHECKING:
    from napari.viewer import Viewer

_OPAQUE = ("translucent", "translucent_no_depth", "opaque")
_SEE_THROUGH = 0.99


@dataclass(frozen=True)
class Visibility:
    """How the scan that is segmented is shown.

    Parameters
    ----------
    hidden : bool
        Whether the canvas doesn't show it.
    other : Image or None
        The scan that is seen in its place.
    outside : bool
        Whether the slice in view lies beside it.
    """

    hidden: bool = False
    other: Image | None = None
    outside: bool = False

    @property
    def clear(self) -> bool:
        """Whether the scan that is segmented is the one that is seen."""
        return not (self.hidden or self.outside)


class ScanVisibility:
    """Shows the chosen scan, and checks whether it is what the user sees.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._brought: Image | None = None
        self.now = Visibility()

    def bring(self, layer: Image, again: bool = False) -> None:
        """Show a scan alone, unless it is blended with others, in a slice that cuts it.

        Parameters
        ----------
        layer : Image
        again : bool
            Also where it was the last that was brought; otherwise that stays as the user left it.
        """
        if layer is self._brought and not again:
            return
        before, self._brought = self._brought, layer
        layer.visible = True
        if _covers(layer):
            for other in self._scans():
                if other is not layer and _covers(other):
                    other.visible = False
        self._turn_to(layer)
        if before is not None and not self._framed(layer, before):
            self._viewer.fit_to_view(layers=[layer])

    def forget(self, layer: Layer) -> None:
        """Let go of a layer that left the viewer."""
        if layer is self._brought:
            self._brought = None

    def check(self, view: SessionView | None) -> Visibility:
        """Find out how the scan of a session is shown, and keep that as `now`."""
        self.now = Visibility() if view is None else self._check(view)
        return self.now

    def _check(self, view: SessionView) -> Visibility:
        layers = list(self._viewer.layers)
        if view.image not in layers:
            return Visibility()
        above = layers[layers.index(view.image) + 1 :] if view.image.visible else layers
        others = [each for each in self._scans() if each in above and each is not view.image]
        seen = [each for each in others if each.visible and _covers(each)]
        if seen or not view.image.visible:
            return Visibility(hidden=True, other=seen[-1] if seen else None)
        plane = view.navigation.plane()
        if plane.axis is None:
            return Visibility()
        return Visibility(outside=not 0 <= plane.position < view.frame.shape[plane.axis])

    def middle(self, layer: Image) -> None:
        """Turn to the middle slice of a scan."""
        self._turn_to(layer, always=True)

    def _scans(self) -> list[Image]:
        return [each for each in self._viewer.layers if usable(each)]

    def _turn_to(self, layer: Image, always: bool = False) -> None:
        dims, extent = self._viewer.dims, layer.extent.world
        first = dims.ndim - layer.ndim
        for axis in dims.not_displayed:
            if axis < dims.ndim - 3:
                continue
            low, high = extent[:, axis - first]
            if always or not low <= dims.point[axis] <= high:
                dims.set_point(axis, float(low + high) / 2)

    def _framed(self, layer: Image, before: Image) -> bool:
        """Whether the canvas, which framed another scan, frames this one as well."""
        one, other = layer.extent.world[:, -3:], before.extent.world[:, -3:]
        size = np.ptp(other, axis=0)
        return bool((np.abs(one - other) <= 0.25 * np.maximum(size, 1e-6)).all())


def usable(layer: Layer) -> TypeGuard[Image]:
    """Whether a layer may be a scan."""
    if not isinstance(layer, Image) or OVERLAY in layer.metadata:
        return False
    return layer.ndim >= 3 and not (layer.rgb or layer.multiscale)


def _covers(layer: Image) -> bool:
    """Whether what lies below a layer isn't seen through it."""
    return layer.opacity > _SEE_THROUGH and str(layer.blending) in _OPAQUE
