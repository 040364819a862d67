"""Whether a voxel lies in the air around the patient."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.volume import Volume

# Cells in mm on which a slice is looked at: coarse enough that noise averages out and nostrils
# don't let the air in.
_CELL = 3.0
# Voxels, at the most, of the whole scan from which its darkness is judged.
_SAMPLE = 200_000
# Part of the rim of a slice that the air around a patient covers at the least. What is dark at the
# rim of a scan that shows no air, such as lung or fluid cut off by it, covers less.
_RIM = 1 / 3


class Air:
    """The air around the patient, as far as a scan shows it.

    Dark in an axial slice, and connected in it with its rim, of which it covers a third or more:
    so neither lungs, bowel gas nor a windpipe are meant. Works for any modality in which air is
    dark; where nothing is dark enough it holds no voxel.

    Parameters
    ----------
    volume : Volume
    """

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def holds(self, index: Index) -> bool:
        """Whether a voxel, source index, lies in that air."""
        r, a, s = self._volume.canonical.axes
        cut = [slice(None)] * 3
        cut[s] = slice(index[s], index[s] + 1)
        slab = self._volume.valid_intensities(self._volume.voxels[tuple(cut)])
        plane = np.squeeze(slab, axis=s).astype(np.float32)
        first, second = sorted((r, a))
        cells = [max(1, round(_CELL / self._volume.spacing[axis])) for axis in (first, second)]
        at = tuple(index[axis] // n for axis, n in zip((first, second), cells, strict=True))
        dark = _averaged(plane, cells) < self._darkness
        if not dark[at]:
            return False
        wide = ndimage.binary_opening(np.pad(dark, 1, mode="edge"))[1:-1, 1:-1]
        parts = np.zeros(dark.shape, dtype=np.int32)
        ndimage.label(wide, output=parts)
        rim = np.concatenate([parts[0], parts[-1], parts[1:-1, 0], parts[1:-1, -1]])
        around = parts == np.argmax(np.bincount(rim[rim > 0])) if rim.any() else parts < 0
        return bool(around[at] and np.count_nonzero(around[_rim(parts)]) >= _RIM * rim.size)

    @cached_property
    def _darkness(self) -> float:
        """Half way from the scan's darkest to its mean; what is below is no tissue."""
        voxels = self._volume.voxels
        step = max(1, round((voxels.size / _SAMPLE) ** (1 / 3)))
        sample = self._volume.valid_intensities(voxels[::step, ::step, ::step]).astype(np.float32)
        low, high = np.percentile(sample, (1, 99))
        return float((low + sample.clip(low, high).mean()) / 2)


def _averaged(plane: NDArray[np.float32], cells: list[int]) -> NDArray[np.float32]:
    """Average a plane over cells of so many pixels; the last ones repeat what is at the end."""
    short = [-n % cell for n, cell in zip(plane.shape, cells, strict=True)]
    padded = np.pad(plane, [(0, n) for n in short], mode="edge")
    rows, columns = (n // cell for n, cell in zip(padded.shape, cells, strict=True))
    blocks = padded.reshape(rows, cells[0], columns, cells[1])
    return blocks.mean(axis=(1, 3))


def _rim(plane: NDArray[np.int32]) -> NDArray[np.bool_]:
    inner = np.zeros(plane.shape, dtype=np.bool_)
    inner[1:-1, 1:-1] = True
    return ~inner
