"""What is done to a finished mask as a whole: parts, holes, margins, smoothing, slices between."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.slice_interpolation import between_slices
from napari_fastsam3d.geometry.volume import Volume

Kind = Literal["islands", "connected", "holes", "smooth", "grow", "shrink", "interpolate"]
Voxels = NDArray[np.bool_]

_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)
_TAIL = 3.0
_SLAB = 1 << 24
# Larger amounts would take hours to compute and mean nothing of a patient.
_MOST = 1000.0


@dataclass(frozen=True)
class Operation:
    """What one kind of cleaning up is called.

    Parameters
    ----------
    done : str
        What it did, to be followed by the name of the object.
    unit : str or None
        Of its amount; None where it has none.
    usual : float
        The amount to offer.
    """

    done: str
    unit: str | None = None
    usual: float = 0.0


OPERATIONS: dict[Kind, Operation] = {
    "islands": Operation("Removed islands of", "ml", 0.5),
    "connected": Operation("Kept the connected part of"),
    "holes": Operation("Filled holes of"),
    "smooth": Operation("Smoothed", "mm", 2.0),
    "grow": Operation("Grew", "mm", 2.0),
    "shrink": Operation("Shrank", "mm", 2.0),
    "interpolate": Operation("Interpolated slices of"),
}


@dataclass(frozen=True)
class CleanUp:
    """One way to clean up a mask.

    Parameters
    ----------
    kind : str
        "islands": drop the connected parts that are smaller than an amount in ml, but for the
        largest and those that were clicked. "connected": keep what is connected to a positive
        click, or the largest part where none was clicked. "holes": fill what the mask encloses on
        all sides. "smooth": a Gaussian of that standard deviation in mm, half of it inside.
        "grow", "shrink": by a margin in mm. "interpolate": fill the empty slices between drawn
        ones. Parts are connected also by corners.
    amount : float or None
        More than 0 for the kinds that have one; None for the others.

    Raises
    ------
    PromptError
        If there is no such kind, or the amount isn't one of it.
    """

    kind: Kind
    amount: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise PromptError(
                f"There is no way to clean up called {self.kind!r}.",
                f"Choose one of {', '.join(get_args(Kind))}.",
            )
        unit = OPERATIONS[self.kind].unit
        if unit is None and self.amount is not None:
            raise PromptError(f"{self.kind} takes no amount.", "Leave it out.")
        if unit is not None and not (self.amount and 0 < self.amount <= _MOST):
            raise PromptError(
                f"{self.kind} takes an amount of {unit}, not {self.amount!r}.",
                f"Give a number above 0, such as {OPERATIONS[self.kind].usual:g}, up to {_MOST:g}.",
            )

    @classmethod
    def of(cls, kind: str, amount: float | None = None) -> "CleanUp":
        """Return what a kind and an amount ask for; the usual amount where none is given."""
        known = OPERATIONS.get(cast(Kind, kind))
        if amount is None and known is not None and known.unit is not None:
            amount = known.usual
        return cls(cast(Kind, kind), None if amount is None else float(amount))

    @property
    def done(self) -> str:
        """What it did, to be followed by the name of the object."""
        return OPERATIONS[self.kind].done

    @property
    def amount_text(self) -> str:
        """The amount with its unit, such as "2 mm"; empty where there is none."""
        return "" if self.amount is None else f"{self.amount:g} {OPERATIONS[self.kind].unit}"


def cleaned_up(mask: Mask, how: CleanUp, volume: Volume, clicks: Sequence[Index] = ()) -> Mask:
    """Return a mask cleaned up; only the box that holds it is looked at, and its margin.

    The mask goes on beyond the edges of the volume as it is there, so that shrinking and smoothing
    leave the cut surface alone.

    Parameters
    ----------
    mask : Mask
        Source index.
    how : CleanUp
    volume : Volume
        Its grid; distances are in mm along the source axes.
    clicks : sequence of tuple of int
        Source indices of the positive clicks, which hold the parts that they lie in.
    """
    if mask.is_empty:
        return mask
    amount = how.amount or 0.0
    match how.kind:
        case "islands":
            voxel = volume.voxel_mm3 / 1000
            return _parts(mask, ceil(amount / voxel - 1e-9), clicks, volume)
        case "connected":
            held = any(mask.contains(click) for click in clicks)
            return _parts(mask, None, clicks if held else (), volume)
        case "holes":
            return Mask.of(mask.box, np.asarray(ndimage.binary_fill_holes(mask.voxels), np.bool_))
        case "smooth":
            return _smoothed(mask, amount, volume)
        case "grow":
            box = _around(mask.box, amount, volume)
            inside = mask.within(box)
            return Mask.of(box, inside | _near(inside, amount, volume.spacing))
        case "shrink":
            box = mask.box.padded(1).clipped(volume.shape)
            inside = mask.within(box)
            return Mask.of(box, inside & ~_near(~inside, amount, volume.spacing))
        case "interpolate":
            return Mask.of(mask.box, _between_slices(mask.voxels, volume))


def _between_slices(inside: Voxels, volume: Volume) -> Voxels:
    """Fill the empty slices, across the same axis of the patient where several have as many."""
    canonical = volume.canonical
    r, a, s = (volume.spacing[axis] for axis in canonical.axes)
    shown = np.ascontiguousarray(canonical.view(inside))
    return canonical.source_view(between_slices(shown, (r, a, s)))


def _parts(mask: Mask, least: int | None, clicks: Sequence[Index], volume: Volume) -> Mask:
    """Keep the clicked parts, and by size: those of `least` voxels, and in any case the largest.

    Without `least` the largest is kept only where nothing is clicked; of several as large the same
    one of the patient, in whichever order a file has its axes.
    """
    parts = np.zeros(mask.voxels.shape, dtype=np.int32)
    ndimage.label(mask.voxels, structure=_TOUCHING, output=parts)
    count = int(parts.max())
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = np.zeros(count + 1, dtype=np.bool_) if least is None else sizes >= least
    for click in clicks:
        if mask.contains(click):
            i, j, k = (x - a for x, a in zip(click, mask.box.start, strict=True))
            kept[parts[i, j, k]] = True
    if least is not None or not clicks:
        shown = volume.canonical.view(parts)
        kept[shown[sizes[shown] == sizes.max()][0]] = True
    kept[0] = False
    return Mask.of(mask.box, kept[parts])


def _smoothed(mask: Mask, deviation: float, volume: Volume) -> Mask:
    box = _around(mask.box, _TAIL * deviation, volume)
    steps = [deviation / size for size in volume.spacing]
    share = mask.within(box).astype(np.float32)
    ndimage.gaussian_filter(share, steps, output=share, mode="nearest", truncate=_TAIL)
    return Mask.of(box, share > 0.5)


def _around(box: Box, margin: float, volume: Volume) -> Box:
    i, j, k = (ceil(margin / size) for size in volume.spacing)
    (a, b, c), (d, e, f) = box.start, box.stop
    return Box((a - i, b - j, c - k), (d + i, e + j, f + k)).clipped(volume.shape)


def _near(inside: Voxels, reach: float, spacing: tuple[float, float, float]) -> Voxels:
    """Return which voxels have one that is inside within `reach` mm, centre to centre.

    Done in slabs, for a map of distances takes twenty times the memory of a mask.
    """
    found = np.zeros_like(inside)
    margin = ceil(reach / spacing[0])
    for first, last in _slabs(inside.shape, margin):
        low = max(0, first - margin)
        part = inside[low : last + margin]
        if part.any():
            apart = np.zeros(part.shape)
            ndimage.distance_transform_edt(~part, sampling=spacing, distances=apart)
            found[first:last] = apart[first - low : last - low] <= reach * (1 + 1e-9)
    return found


def _slabs(shape: tuple[int, ...], margin: int) -> Iterator[tuple[int, int]]:
    thickness = max(2 * margin, _SLAB // max(1, shape[1] * shape[2]), 1)
    return ((at, min(at + thickness, shape[0])) for at in range(0, shape[0], thickness))
