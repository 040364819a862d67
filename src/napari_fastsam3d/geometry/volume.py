"""A volume: voxels, where they lie in the patient, and where they came from."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.orientation import (
    Orientation,
    axis_codes,
    axis_directions,
    closest_axes,
)
from napari_fastsam3d.geometry.source import Source

Spacing = tuple[float, float, float]

_BELOW_AIR = -1100.0
_AIR, _AIR_FROM, _TISSUE_FROM = -1000.0, -900.0, -30.0
_CROWD = 0.5
_PADDED_SHARE = 0.0003
_LEAST_GAP, _GAP_OF_RANGE = 100.0, 0.05
_SAMPLES_ALONG_AXIS = 24


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D scan as its file stores it.

    Make one with `read_volume` or `Volume.from_array`; both check what this constructor trusts.

    Parameters
    ----------
    voxels : ndarray, shape (I, J, K)
        Scaled intensities in source order: an integer type where the file has no slope,
        float32 otherwise; native byte order. May be memory-mapped; not to be written to.
    affine : ndarray of float64, shape (4, 4)
        Source index to RAS mm.
    name : str
        What to call it, such as the file's stem.
    source : Source
        Where it came from.
    notes : tuple of str
        What reading had to repair or assume, one sentence each, to be shown to the user.
    """

    voxels: NDArray[Any]
    affine: NDArray[np.float64]
    name: str = "volume"
    source: Source = field(default_factory=Source)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_array(
        cls,
        voxels: ArrayLike,
        affine: ArrayLike | None = None,
        *,
        spacing: Sequence[float] | None = None,
        name: str = "volume",
        source: Source | None = None,
        notes: Sequence[str] = (),
    ) -> "Volume":
        """Check an array and its geometry and make a volume of them.

        Parameters
        ----------
        voxels : array_like, shape (I, J, K)
            Real numbers. Integers are kept as they are, floats become float32, bools uint8;
            nothing else is copied.
        affine : array_like, shape (4, 4), optional
            Source index to RAS mm.
        spacing : sequence of float, optional
            Voxel size in mm along the source axes; axes then run towards R, A and S. One of
            `affine` and `spacing`; 1 mm without either.
        name, source, notes
            As in `Volume`.

        Raises
        ------
        VolumeError
            If it isn't a 3D grid of real numbers with a usable geometry.
        """
        array = _native(np.asanyarray(voxels), name)
        if affine is None:
            affine = np.diag([*_positive(spacing or (1.0, 1.0, 1.0)), 1.0])
        checked = np.array(affine, dtype=np.float64)
        check_affine(checked)
        notes = (*notes, *_non_finite_note(array))
        return cls(array, checked, name, source or Source(), notes)

    @property
    def shape(self) -> Index:
        """Voxels along the source axes."""
        i, j, k = self.voxels.shape
        return (i, j, k)

    @cached_property
    def spacing(self) -> Spacing:
        """Distance in mm between neighbouring voxels along each source axis."""
        i, j, k = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return (float(i), float(j), float(k))

    @cached_property
    def voxel_mm3(self) -> float:
        """Volume of a voxel in mm3, also where the grid is sheared."""
        return abs(float(np.linalg.det(self.affine[:3, :3])))

    @cached_property
    def axis_codes(self) -> str:
        """Letters towards which the source axes run, such as "RAS" or "LPS"."""
        return axis_codes(self.affine)

    @cached_property
    def obliquity_degrees(self) -> float:
        """The largest angle between a source axis and the patient axis closest to it."""
        directions = axis_directions(self.affine)
        cosines = [abs(directions[w, a]) for w, a in enumerate(closest_axes(directions))]
        return float(np.degrees(np.arccos(min(1.0, *cosines))))

    @cached_property
    def canonical(self) -> Orientation:
        """The way to the grid closest to RAS, in which the model sees the volume."""
        return Orientation.closest(self.affine, self.shape, "RAS")

    @cached_property
    def display(self) -> Orientation:
        """The way to the grid closest to IPL, in which a viewer shows it radiologically."""
        return Orientation.closest(self.affine, self.shape, "IPL")

    @cached_property
    def intensity_floor(self) -> float | None:
        """The intensity that lower ones count as, because they are padding; None without padding.

        Scanners and programs fill what lies outside of the field of view with a constant far below
        the intensity of air, such as -2000 or -8192. It is found in an evenly spaced sample; see
        `padding_floor`.
        """
        return padding_floor(_evenly_spaced(self.voxels))

    def valid_intensities(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return a part of the voxels, any shape, with an intensity everywhere; same dtype.

        Padding counts as `intensity_floor`, and what isn't finite as that or else as the lowest
        finite intensity of the part (0 without any). A part without either comes back itself.
        """
        floor = self.intensity_floor
        if floor is not None:
            part = np.maximum(part, part.dtype.type(floor))
        if part.dtype.kind != "f" or (finite := np.isfinite(part)).all():
            return part
        lowest = finite_minimum(part)
        return np.where(finite, part, part.dtype.type(lowest if np.isfinite(lowest) else 0))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of shape, type, affine and voxels, in hexadecimal: the identity of the scan."""
        digest = hashlib.sha256(f"{self.shape} {self.voxels.dtype.str}".encode())
        digest.update(np.ascontiguousarray(self.affine).tobytes())
        for plane in np.moveaxis(self.voxels, 2, 0):
            digest.update(np.ascontiguousarray(plane.T).data)
        return digest.hexdigest()

    def to_world(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map source indices, (N, 3) or (3,), to RAS mm."""
        return np.asarray(points, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world: ArrayLike) -> NDArray[np.float64]:
        """Map RAS mm, (N, 3) or (3,), to source indices, not rounded."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(world, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]


def check_affine(affine: NDArray[np.float64]) -> None:
    """Raise VolumeError unless `affine` is a finite, invertible (4, 4) map to mm."""
    if affine.shape != (4, 4):
        raise VolumeError(
            f"The affine has shape {affine.shape}.", "Give a 4 x 4 matrix from index to RAS mm."
        )
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    usable = (
        np.isfinite(affine).all()
        and np.array_equal(affine[3], [0, 0, 0, 1])
        and (lengths > 0).all()
        and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-4
    )
    if not usable:
        raise VolumeError(
            "The geometry of the volume is unusable: its affine is not finite or not invertible.",
            "Fix the header, for example by converting the scan from DICOM again.",
        )


def finite_minimum(array: NDArray[Any]) -> float:
    """Return the smallest finite value of an array; infinity if there is none."""
    if array.dtype.kind != "f":
        return float(array.min(initial=np.iinfo(array.dtype).max))
    return float(array.min(initial=np.inf, where=np.isfinite(array)))


def padding_floor(sample: NDArray[Any]) -> float | None:
    """Return the intensity below which voxels are padding and no measurement, or None.

    Padding is an intensity below that of air in Hounsfield units which many voxels have exactly,
    with few below it nearby and nearly none between it and the higher ones. Of several the highest
    counts.

    Parameters
    ----------
    sample : ndarray
        Intensities, any shape; those that aren't finite don't count.

    Returns
    -------
    float or None
        The lowest of the other intensities, but for the 0.5 % that are streaks or edges of padding
        that were interpolated; -1000 where these are Hounsfield units without air.
    """
    values = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample.ravel()
    constants, counts = np.unique(values[values < _BELOW_AIR], return_counts=True)
    many = counts >= max(2, _PADDED_SHARE * sample.size)
    for padding, count in zip(constants[many][::-1], counts[many][::-1], strict=True):
        others = values[values > padding]
        if not others.size:
            continue
        low, high = (float(v) for v in np.percentile(others, (0.5, 99.5), method="lower"))
        gap = low - float(padding)
        nearly = (constants < padding) & (constants > float(padding) - gap / 2)
        alone = counts[nearly].sum() <= _CROWD * count
        if alone and gap >= max(_LEAST_GAP, _GAP_OF_RANGE * (high - low)):
            # A CT of nothing but tissue shows no air to take the place of padding.
            return _AIR if _AIR_FROM < low < _TISSUE_FROM else low
    return None


def _native(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim != 3:
        raise VolumeError(
            f"{name} has {array.ndim} dimensions of shape {array.shape}; a volume has three.",
            "Choose one 3D volume.",
        )
    if array.size == 0:
        raise VolumeError(f"{name} has no voxels: its shape is {array.shape}.", "Choose another.")
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise VolumeError(
            f"{name} holds {array.dtype} values, which are not intensities.",
            "Choose a volume of one real number a voxel.",
        )
    dtype = np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        array = np.asarray(array.astype(dtype, copy=False)).view()
    array.flags.writeable = False
    return array


def _positive(spacing: Sequence[float]) -> Sequence[float]:
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise VolumeError(f"The spacing {tuple(spacing)} is unusable.", "Give three positive mm.")
    return spacing


def _non_finite_note(array: NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind != "f":
        return ()
    count = sum(slab.size - int(np.isfinite(slab).sum()) for slab in _slabs(array))
    if not count:
        return ()
    return (f"{count} voxels are not finite numbers; they are treated as the lowest intensity.",)


def _evenly_spaced(voxels: NDArray[Any]) -> NDArray[Any]:
    """Return some voxels of every plane across each axis: the same ones in any order of axes."""
    few: list[NDArray[np.intp]] = []
    for length in voxels.shape:
        half = np.linspace(0, (length - 1) / 2, _SAMPLES_ALONG_AXIS // 2).astype(np.intp)
        few.append(np.unique(np.concatenate([half, length - 1 - half])))
    parts: list[NDArray[Any]] = []
    for axis, length in enumerate(voxels.shape):
        planes = [*few[:axis], np.arange(length), *few[axis + 1 :]]
        parts.append(voxels[np.ix_(*planes)].ravel())
    return np.concatenate(parts)


def _slabs(array: NDArray[Any], voxels: int = 1 << 22) -> Iterator[NDArray[Any]]:
    """Cut an array across its slowest axis into pieces of about `voxels`, without copying."""
    slowest = int(np.argmax(np.abs(array.strides)))
    planes = np.moveaxis(array, slowest, 0)
    thickness = max(1, voxels * len(planes) // array.size)
    return (planes[at : at + thickness] for at in range(0, len(planes), thickness))
