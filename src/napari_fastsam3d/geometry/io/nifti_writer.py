"""NIfTI: a mask, with the scan's own header."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.io.nrrd_writer import Labels
from napari_fastsam3d.geometry.volume import Volume

# Part of a voxel by which corners may lie elsewhere by the quaternion.
_FINE_ENOUGH = 0.25
_COMPRESSION = 4
_LARGEST_NIFTI1_SIDE = 32767


def write_nifti(path: Path, labels: Labels, volume: Volume, names: str) -> None:
    """Write labels with the header of the scan, or one of its own; the path must be free.

    Parameters
    ----------
    path : path
        Ending in .nii or .gz.
    labels : ndarray of uint8 or uint16, shape (I, J, K)
        Source order.
    volume : Volume
    names : str
        What stands in the comment, as `encoded_names` gives it; nothing where empty.
    """
    import nibabel
    from nibabel.nifti1 import Nifti1Extension

    header = _header(labels, volume)
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


def _header(labels: Labels, volume: Volume) -> Any:
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
