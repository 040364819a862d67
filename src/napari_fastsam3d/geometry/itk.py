"""Volumes from NRRD and MetaImage files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.frames import choose_frame
from napari_fastsam3d.geometry.integrity import check_meta_image, check_nrrd
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume

if TYPE_CHECKING:
    from SimpleITK import Image, ImageFileReader

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NRRD_SUFFIXES = (".nrrd", ".nhdr")


def read_itk(path: Path, frame: int | None = None) -> Volume:
    """Read a .nrrd, .nhdr, .mha or .mhd file; see `read_volume`."""
    is_nrrd = path.suffix.lower() in _NRRD_SUFFIXES
    (check_nrrd if is_nrrd else check_meta_image)(path)
    reader = _reader(path)
    chosen = choose_frame(path.name, _frames(reader, path), frame)
    if reader.GetDimension() == 4:
        reader.SetExtractIndex([0, 0, 0, chosen])
        reader.SetExtractSize([*reader.GetSize()[:3], 0])
    image = _executed(reader, path)
    notes: list[str] = []
    if is_nrrd and not reader.HasMetaDataKey("NRRD_space"):
        notes.append("The file does not say in which space it lies: LPS, as in DICOM, is assumed.")
    source = Source(path, "itk", frame=None if frame is None else chosen)
    voxels = array_of(image)
    return Volume.from_array(voxels, affine_of(image), name=path.stem, source=source, notes=notes)


def count_itk_frames(path: Path) -> int:
    """Return how many volumes a NRRD or MetaImage file holds."""
    return _frames(_reader(path), path)


def silent_itk() -> Any:
    """Return the SimpleITK module, told not to print its warnings."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def affine_of(image: "Image | ImageFileReader") -> NDArray[np.float64]:
    """Return the (4, 4) affine, index to RAS mm, of a 3D image that counts in LPS."""
    dimension = image.GetDimension()
    directions = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    return ras_affine(directions * image.GetSpacing()[:3], image.GetOrigin()[:3])


def ras_affine(
    steps: NDArray[np.float64], origin: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the (4, 4) affine, index to RAS mm, of steps (3, 3), one a column, in LPS mm."""
    lps = np.eye(4)
    lps[:3, :3] = steps
    lps[:3, 3] = origin
    return _LPS_TO_RAS @ lps


def array_of(image: "Image") -> NDArray[Any]:
    """Return the voxels of an image, (I, J, K), i fastest in memory: its own, not a copy."""
    return np.asarray(_Pixels(image)).transpose()


class _Pixels:
    """The memory of an image; an array made of this keeps the image alive.

    SimpleITK's own array views don't, and dangle when the image goes.
    """

    def __init__(self, image: "Image") -> None:
        self._image = image
        self.__array_interface__ = silent_itk().GetArrayViewFromImage(image).__array_interface__


def _reader(path: Path) -> "ImageFileReader":
    reader = silent_itk().ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return reader


def _executed(reader: "ImageFileReader", path: Path) -> "Image":
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: RuntimeError) -> VolumeError:
    # ITK says where in its source it failed, then why; the last line is the most telling.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = re.sub(r"^.*ERROR: ", "", lines[-1]) if lines else "the reader does not say why"
    return VolumeError(
        f"{path.name} cannot be read: {reason.rstrip('.')}.",
        "Copy or download the file again, with its data file if it has one.",
    )


def _frames(reader: "ImageFileReader", path: Path) -> int:
    if reader.GetNumberOfComponents() > 1:
        raise VolumeError(
            f"{path.name} holds a colour or a vector in each voxel, not one intensity.",
            "Choose a grey-scale volume, or save one channel as a file of its own.",
        )
    size = reader.GetSize()
    if not 3 <= len(size) <= 4:
        raise VolumeError(f"{path.name} has {len(size)} dimensions.", "Choose a 3D volume.")
    return size[3] if len(size) == 4 else 1
