"""Classical methods that segment by the same clicks, to be compared with."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.evaluation.clicks import Click
from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.session import Mask

Floats = NDArray[np.float32]

SIZE = 64
"""Voxels along each side of the cube that a baseline works on."""

_START_MM = 1.5
_MARGIN = 1.5


@dataclass(frozen=True, eq=False)
class Scene:
    """What a baseline sees: a part of the scan on an isotropic grid, and the clicks in it.

    Attributes
    ----------
    image : ndarray of float32
        (A, B, C) the part of the crop that lies in the volume, axes towards R, A, S.
    positive, negative : ndarray of integer
        (N, 3) clicks, index into `image`.
    open_faces : ndarray of bool
        (3, 2) whether the volume goes on below and above, along each axis.
    """

    image: Floats
    positive: NDArray[np.intp]
    negative: NDArray[np.intp]
    open_faces: NDArray[np.bool_]


Method = Callable[[Scene], Floats]
"""Gives what is greater than 0 inside the object, for each voxel of the scene's image."""


@dataclass(frozen=True)
class Baseline:
    """A classical method as a segmenter.

    It looks at a cube of 96 mm around the clicks, or one and a half times as wide as they lie
    apart, on 64 voxels a side.

    Attributes
    ----------
    name : str
        What tables call it.
    method : Method
        What it does.
    fingerprint : str
        What tells its settings from others.
    """

    name: str
    method: Method
    fingerprint: str

    @contextmanager
    def begin(self, volume: Volume) -> Generator["BaselineAttempt", None, None]:
        """Begin without clicks."""
        yield BaselineAttempt(volume, self.method)


@dataclass(frozen=True)
class BaselineAttempt:
    """The clicks so far; each is answered by computing anew with all of them."""

    volume: Volume
    method: Method
    clicks: list[Click] = field(default_factory=list)

    def click(self, index: tuple[int, int, int], positive: bool) -> Mask:
        """Answer all clicks so far and this one."""
        self.clicks.append((index, positive))
        crop = crop_around(self.volume, [at for at, _ in self.clicks])
        planes = tuple(np.flatnonzero(plane) for plane in crop.inside)
        part = tuple(slice(plane[0], plane[-1] + 1) for plane in planes)
        logits = np.full((crop.size,) * 3, -1, np.float32)
        logits[part] = self.method(self._scene(crop, part))
        return Mask.of(*crop.paste_mask(logits))

    def box(self, box: Box) -> Mask | None:
        """Tell that boxes are not known."""
        del box

    def _scene(self, crop: Crop, part: tuple[slice, ...]) -> Scene:
        raw = crop.extract(self.volume.voxels, floor=self.volume.intensity_floor)
        image = np.ascontiguousarray(raw[part])
        start = np.array([cut.start for cut in part])
        places = np.rint(crop.to_crop([at for at, _ in self.clicks])).astype(np.intp) - start
        places = places.clip(0, np.array(image.shape) - 1)
        wanted = np.array([positive for _, positive in self.clicks])
        seen = crop.orientation.box_to_target(crop.box)
        whole = crop.orientation.target_shape
        faces = [(a > 0, b < n) for a, b, n in zip(seen.start, seen.stop, whole, strict=True)]
        return Scene(image, places[wanted], places[~wanted], np.array(faces))


def crop_around(volume: Volume, clicks: Sequence[tuple[int, int, int]]) -> Crop:
    """Give the cube that a baseline works on.

    Parameters
    ----------
    volume : Volume
        The scan.
    clicks : sequence of tuple of int
        At least one, source index.
    """
    places = np.array(clicks)
    low, high = places.min(axis=0), places.max(axis=0)
    widest = float(((high - low + 1) * volume.spacing).max())
    spacing = max(_START_MM, _MARGIN * widest / SIZE)
    return Crop.around(volume, [float(c) for c in (low + high) / 2], spacing, SIZE)
