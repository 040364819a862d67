"""Masks written so that they fit the scan, and so that no file is ever half written."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.label_names import encoded_names
from napari_fastsam3d.geometry.io.meta_image_writer import write_meta_image
from napari_fastsam3d.geometry.io.nifti_writer import write_nifti
from napari_fastsam3d.geometry.io.nrrd_writer import Labels, write_nrrd
from napari_fastsam3d.geometry.source import MASK_SUFFIXES
from napari_fastsam3d.geometry.volume import Volume


def save_mask(
    path: str | os.PathLike[str],
    mask: NDArray[np.bool_] | NDArray[np.integer[Any]],
    volume: Volume,
    *,
    label_names: Mapping[int, str] | None = None,
) -> Path:
    """Write a mask or label map that lies on a volume.

    The file is written beside its place and then put there in one step: whoever looks sees the
    old file or the whole new one. If anything fails the old one is left as it was.

    Parameters
    ----------
    path : path
        Ends in .nii.gz, .nii, .nrrd or .mha.
    mask : ndarray of bool or integer, shape (I, J, K)
        In source order. Bools and labels to 255 are written as uint8, larger ones as uint16.
    volume : Volume
        The scan. If it came from NIfTI and the mask goes to NIfTI, the mask has its kind of
        header, orientation (sform, qform and their codes) and units; otherwise its affine is
        written as scanner coordinates in mm.
    label_names : mapping of int to str, optional
        What the labels mean, kept in the file: as JSON in a comment extension of NIfTI, or under
        the key `label_names` of NRRD and MHA.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    SaveError
        If the mask doesn't fit the volume, the format isn't known, or the file can't be written.
    """
    target = Path(path).expanduser().absolute()
    spare_scan(target, volume)
    suffix = _suffix(target)
    labels = _labels(mask, volume)
    names = encoded_names(label_names) if label_names else ""
    with replacing(target, suffix) as temporary:
        _WRITERS[suffix](temporary, labels, volume, names)
    return target


def spare_scan(target: Path, volume: Volume) -> None:
    """Raise SaveError where a file would take the place of the scan."""
    scan = volume.source.path
    own = {path.resolve() for path in (*volume.source.files, *([scan] if scan else []))}
    if target.exists() and target.resolve() in own:
        raise SaveError(f"{target.name} is the scan itself.", "Choose another name for the mask.")


def _suffix(path: Path) -> str:
    for suffix in MASK_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise SaveError(
        f"A mask cannot be written as {path.name}.",
        f"Use a name ending in {', '.join(MASK_SUFFIXES)}.",
    )


def _labels(mask: NDArray[Any], volume: Volume) -> Labels:
    mask = np.asarray(mask)
    if mask.shape != volume.shape:
        raise SaveError(
            f"The mask has shape {mask.shape} and the volume {volume.shape}.",
            "Save it with the volume on which it was made.",
        )
    if mask.dtype.kind == "b":
        return mask.view(np.uint8)
    if mask.dtype.kind not in "iu":
        raise SaveError(f"A mask of {mask.dtype} has no labels.", "Give bools or integers.")
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise SaveError(f"Labels reach from {low} to {high}.", "Use labels from 0 to 65535 only.")
    return mask.astype(np.uint8 if high < 256 else np.uint16, copy=False)


def _write_nrrd(path: Path, labels: Labels, volume: Volume, names: str) -> None:
    write_nrrd(path, labels, volume, {"label_names": names} if names else {})


_WRITERS = {
    ".nii.gz": write_nifti,
    ".nii": write_nifti,
    ".nrrd": _write_nrrd,
    ".mha": write_meta_image,
}
