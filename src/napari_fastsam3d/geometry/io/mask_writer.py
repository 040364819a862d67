"""Masks written so that they fit the scan, and so that no file is ever half written."""

import gzip
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.label_names import encoded_names
from napari_fastsam3d.geometry.io.nrrd_writer import Labels, in_lps, planes, words, write_nrrd
from napari_fastsam3d.geometry.source import MASK_SUFFIXES
from napari_fastsam3d.geometry.volume import Volume

_FINE_ENOUGH = 0.25
_COMPRESSION = 4
_LARGEST_NIFTI1_SIDE = 32767


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
        f"A mask cannot be written as {path.name}.", f"Use a name ending in {MASK_SUFFIXES}."
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


def _write_nifti(path: Path, labels: Labels, volume: Volume, names: str) -> None:
    import nibabel
    from nibabel.nifti1 import Nifti1Extension

    header = _nifti_header(labels, volume)
    if names:
        header.extensions.append(Nifti1Extension("comment", names.encode()))
    kind = nibabel.Nifti2Image if header["sizeof_hdr"] == 540 else nibabel.Nifti1Image
    # Without an affine nibabel leaves both forms and their codes as they stand in the header.
    image = kind(labels, None, header)
    with path.open("xb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(raw)


def _nifti_header(labels: Labels, volume: Volume) -> Any:
    import nibabel

    if volume.source.header is not None:
        header = volume.source.header.copy()
    elif max(labels.shape) > _LARGEST_NIFTI1_SIDE:
        header = nibabel.Nifti2Header()
    else:
        header = nibabel.Nifti1Header()
    header.set_data_dtype(labels.dtype)
    header.set_data_shape(labels.shape)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    header.set_intent("none")
    if volume.source.header is None:
        header.set_xyzt_units("mm")
        _set_forms(header, volume.affine)
    return header


def _set_forms(header: Any, affine: NDArray[np.float64]) -> None:
    from nibabel.affines import apply_affine

    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    qform = header.get_qform()
    corners = np.vstack([np.diag(np.array(header.get_data_shape()) - 1), np.zeros(3)])
    apart = np.abs(apply_affine(qform, corners) - apply_affine(affine, corners)).max()
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    # A shear, which no quaternion can say, or needles of voxels: too fine for single precision.
    if not np.allclose(qform, affine, atol=1e-3) or apart > _FINE_ENOUGH * sizes.min():
        header.set_qform(None, code="unknown")


def _write_nrrd(path: Path, labels: Labels, volume: Volume, names: str) -> None:
    write_nrrd(path, labels, volume, {"label_names": names} if names else {})


def _write_meta_image(path: Path, labels: Labels, volume: Volume, names: str) -> None:
    lps = in_lps(volume)
    packer = zlib.compressobj(_COMPRESSION)
    packed = [packer.compress(plane) for plane in planes(labels)]
    packed.append(packer.flush())
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {sum(map(len, packed))}",
        f"TransformMatrix = {words((lps[:3, :3] / volume.spacing).T.ravel())}",
        f"Offset = {words(lps[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {words(volume.spacing)}",
        "DimSize = {} {} {}".format(*labels.shape),
        *([f"label_names = {names}"] if names else []),
        f"ElementType = {'MET_UCHAR' if labels.itemsize == 1 else 'MET_USHORT'}",
        "ElementDataFile = LOCAL",
    ]
    with path.open("xb") as raw:
        raw.write("\n".join([*lines, ""]).encode("ascii"))
        raw.writelines(packed)


_WRITERS = {
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
    ".nrrd": _write_nrrd,
    ".mha": _write_meta_image,
}
