"""Surfaces of masks as STL or OBJ, in the millimetres of the scanner."""

import os
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.nrrd_writer import in_lps
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.source import distinct_names
from napari_fastsam3d.geometry.volume import Volume

MESH_SUFFIXES = (".stl", ".obj")

Points = NDArray[np.float64]
Triangles = NDArray[np.int64]

# Taubin 1995: forth and back, so that a surface gets smooth and keeps its volume.
_FORTH, _BACK, _ROUNDS = 0.5, -0.53, 15


def surface_of(mask: Mask, volume: Volume, smooth: bool = True) -> tuple[Points, Triangles]:
    """Return the closed surface of a mask.

    Parameters
    ----------
    mask : Mask
        Not empty; source index.
    volume : Volume
        The scan.
    smooth : bool
        Whether the steps of the voxels are smoothed (Taubin 1995), which keeps the volume.

    Returns
    -------
    points : ndarray, shape (N, 3)
        LPS mm.
    triangles : ndarray, shape (M, 3)
        Indices of points, counterclockwise seen from outside.

    Raises
    ------
    SaveError
        If scikit-image is not installed.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise SaveError(
            "Meshes are made with scikit-image, which is not installed.",
            "Install it with pip install scikit-image; napari comes with it.",
        ) from error
    box = mask.box.padded(1)
    found = marching_cubes(_joined(mask.within(box)).astype(np.float32), 0.5)
    lps = in_lps(volume)
    points = (found[0] + box.start) @ lps[:3, :3].T + lps[:3, 3]
    triangles = np.asarray(found[1], dtype=np.int64)
    if smooth:
        points = _smoothed(points, triangles)
    return points, triangles if _enclosed(points, triangles) > 0 else triangles[:, ::-1]


def save_meshes(
    path: str | os.PathLike[str], segments: Sequence[Segment], volume: Volume
) -> list[Path]:
    """Write the surfaces of segments in LPS mm, which the files say, as 3D Slicer reads it.

    Parameters
    ----------
    path : path
        Ending in .obj: all segments in one file, a group each. Ending in .stl: that file where
        there is one segment, else one beside it for each, with its name added.
    segments : sequence of Segment
    volume : Volume
        The scan.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    SaveError
        If they can't be written, or scikit-image is not installed.
    """
    target = Path(path).expanduser().absolute()
    if target.suffix.lower() not in MESH_SUFFIXES:
        raise SaveError(
            f"Meshes cannot be written as {target.name}.", "Use a name ending in .stl or .obj."
        )
    if target.suffix.lower() == ".obj":
        with replacing(target, ".obj") as temporary, temporary.open("x", encoding="utf-8") as out:
            out.write("# SPACE=LPS\n# Unit: mm\n")
            first = 1
            for each in segments:
                points, triangles = surface_of(each.mask, volume)
                out.writelines(_obj_lines(each.name, points, triangles + first))
                first += len(points)
        return [target]
    targets = mesh_paths(target, [each.name for each in segments])
    for each, own in zip(segments, targets, strict=True):
        with replacing(own, ".stl") as temporary:
            temporary.write_bytes(_stl(*surface_of(each.mask, volume)))
    return targets


def mesh_paths(path: Path, names: Sequence[str]) -> list[Path]:
    """Return the files that `save_meshes` writes for segments of these names."""
    if len(names) == 1 or path.suffix.lower() == ".obj":
        return [path]
    plain = ["".join(c if c.isalnum() or c in "-." else "_" for c in name) for name in names]
    unique = distinct_names(plain, range(1, len(plain) + 1))
    return [path.with_name(f"{path.stem}_{name}{path.suffix}") for name in unique]


def _joined(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add a voxel beside each two that touch by a corner alone, where a surface would be cut."""
    joined = inside.copy()
    for second, third in product((1, -1), repeat=2):
        cells = joined[:, ::second, ::third]
        corners = {
            corner: cells[tuple(slice(step, step - 1 or None) for step in corner)]
            for corner in product((0, 1), repeat=3)
        }
        one, other = corners.pop((0, 0, 0)), corners.pop((1, 1, 1))
        alone = one & other & ~np.logical_or.reduce([*corners.values()])
        corners[0, 0, 1] |= alone
    return joined


def _smoothed(points: Points, triangles: Triangles) -> Points:
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    count = len(points)
    beside = sparse.coo_array((np.ones(len(ends)), tuple(ends.T)), (count, count)).tocsr()
    beside.data[:] = 1.0
    degree = np.asarray(beside.sum(axis=1)).reshape(-1, 1)
    for step in (_FORTH, _BACK) * _ROUNDS:
        points = points + step * (beside @ points / degree - points)
    return points


def _enclosed(points: Points, triangles: Triangles) -> float:
    """Return the volume in a closed surface, negative where it is turned inside out."""
    a, b, c = (points[triangles[:, n]] - points.mean(axis=0) for n in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def _obj_lines(name: str, points: Points, triangles: Triangles) -> Iterator[str]:
    yield f"o {' '.join(name.split())}\n"
    for x, y, z in points.tolist():
        yield f"v {x:.6f} {y:.6f} {z:.6f}\n"
    for a, b, c in triangles.tolist():
        yield f"f {a} {b} {c}\n"


def _stl(points: Points, triangles: Triangles) -> bytes:
    corners = points[triangles].astype("<f4")
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")])
    facets = np.zeros(len(triangles), kind)
    facets["normal"] = normals / np.maximum(lengths, 1e-12)
    facets["corners"] = corners
    header = b"SPACE=LPS, mm, written by napari-fastsam3d".ljust(80)
    return header + np.uint32(len(triangles)).tobytes() + facets.tobytes()
