"""Volumes, orientations, boxes, crops and files: where voxels lie, and how they get elsewhere.

Nothing here knows of models, sessions or windows. Source index, canonical index, crop index and
world mm are the only frames; every function says which it takes.
"""

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.io.dicom.header import begins_as_dicom
from napari_fastsam3d.geometry.io.dicom.reader import Series, list_series
from napari_fastsam3d.geometry.io.formats import list_frames, read_volume
from napari_fastsam3d.geometry.io.mask_reader import LabelFile, read_labels
from napari_fastsam3d.geometry.io.mask_writer import save_mask
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.measures import Measured, Measures, measure
from napari_fastsam3d.geometry.orientation import Orientation
from napari_fastsam3d.geometry.phantom import torso_phantom
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume

__all__ = [
    "Box",
    "Crop",
    "LabelFile",
    "Mask",
    "Measured",
    "Measures",
    "Orientation",
    "Series",
    "Source",
    "Volume",
    "begins_as_dicom",
    "list_frames",
    "list_series",
    "measure",
    "read_labels",
    "read_volume",
    "save_mask",
    "torso_phantom",
]
