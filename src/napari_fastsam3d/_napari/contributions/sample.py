"""Sample data: a torso whose organs are known."""

from __future__ import annotations

from napari_fastsam3d._napari.contributions.reader import LayerData, image_layer_data
from napari_fastsam3d.geometry.phantom import torso_phantom as make_phantom


def torso_phantom() -> list[LayerData]:
    """Return the torso phantom as one image layer."""
    volume, _labels, _names = make_phantom()
    return [image_layer_data(volume)]
