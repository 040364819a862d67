"""Label maps written as NRRD, and how numbers stand in such headers."""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.volume import Volume

Labels = NDArray[np.unsignedinteger[Any]]

_COMPRESSION = 4


def write_nrrd(path: Path, labels: Labels, volume: Volume, keys: Mapping[str, str]) -> None:
    """Write labels on the grid of a scan, compressed, in LPS as ITK has it.

    Parameters
    ----------
    path : Path
        A file that isn't there yet.
    labels : ndarray, shape (I, J, K) or (N, I, J, K)
        Source order; with a first axis, N layers, as 3D Slicer writes segments that overlap.
    volume : Volume
        The scan.
    keys : mapping of str to str
        Keys of the file's own, such as names of labels.
    """
    lps = in_lps(volume)
    layers = labels.ndim - 3
    directions = ["none"] * layers + [_vector(column) for column in lps[:3, :3].T]
    lines = [
        "NRRD0004",
        f"type: {labels.dtype.name}",
        f"dimension: {labels.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, labels.shape))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(['list'] * layers + ['domain'] * 3)}",
        "endian: little",
        "encoding: gzip",
        'space units: "mm" "mm" "mm"',
        f"space origin: {_vector(lps[:3, 3])}",
        *(f"{key}:={_escaped(value)}" for key, value in keys.items()),
    ]
    with path.open("xb") as raw:
        raw.write("\n".join([*lines, "", ""]).encode())
        with gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed:
            for plane in planes(labels):
                packed.write(plane)


def in_lps(volume: Volume) -> NDArray[np.float64]:
    """Return the affine (4, 4) from source index to LPS mm."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine + 0.0  # no minus before a zero


def words(numbers: Iterable[float]) -> str:
    """Return numbers as a header has them, exact."""
    return " ".join(repr(float(number)) for number in numbers)


def planes(labels: Labels) -> Iterator[bytes]:
    """Yield the bytes of one plane after the other, the first axis fastest, little-endian."""
    for k in range(labels.shape[-1]):
        yield labels[..., k].astype(labels.dtype.newbyteorder("<")).tobytes(order="F")


def _vector(numbers: Iterable[float]) -> str:
    return f"({words(numbers).replace(' ', ',')})"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")
