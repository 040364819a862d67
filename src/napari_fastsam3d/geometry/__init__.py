"""Volumes, orientations, boxes and crops: where voxels lie, and how they are brought elsewhere.

Nothing here knows of models, sessions or windows. Source index, canonical index, crop index and
world mm are the only frames; every function says which it takes.
"""

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.orientation import Orientation
from napari_fastsam3d.geometry.phantom import torso_phantom
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume

__all__ = ["Box", "Crop", "Orientation", "Source", "Volume", "torso_phantom"]
