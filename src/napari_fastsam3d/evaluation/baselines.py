"""Classical methods that answer the same clicks: the random walker and region growing."""

import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from napari_fastsam3d.errors import EvaluationError
from napari_fastsam3d.evaluation.simulator import Click
from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.geometry.resample import Floats
from napari_fastsam3d.session import Mask

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

    def candidates(self) -> Sequence[Mask]:
        """Return nothing: a baseline knows of one meaning only."""
        return ()

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


_BETA = 50
_SOLVER_TOLERANCE = 1e-2
_SEED_RADIUS = 3
_OBJECT, _BACKGROUND = 1, 2


def random_walker() -> Baseline:
    """Give scikit-image's random walker as a segmenter.

    Positive clicks are seeds of the object and negative ones of the background, each a ball of
    radius 3 voxels, for a single voxel holds no ground against the rest. So are, of the
    background, the faces of the cube beyond which the volume goes on, or all where it does not.

    Raises
    ------
    EvaluationError
        When scikit-image is not installed.

    References
    ----------
    Grady 2006, doi:10.1109/TPAMI.2006.233.
    """
    try:
        import skimage.segmentation as _  # noqa: F401 - looked for before the first click
    except ImportError as error:
        raise EvaluationError(
            "The random walker needs scikit-image, which is not installed.",
            'Install it by pip install "napari-fastsam3d[train]".',
        ) from error
    settings = f"beta {_BETA}, tolerance {_SOLVER_TOLERANCE}, seeds {_SEED_RADIUS}"
    return Baseline("random-walker", _walk, settings)


def _walk(scene: Scene) -> Floats:
    from skimage.segmentation import random_walker as solve

    seeds = np.zeros(scene.image.shape, np.int32)
    faces = scene.open_faces if scene.open_faces.any() else np.ones((3, 2), bool)
    for axis, sides in enumerate(faces):
        for place, used in zip((0, -1), sides, strict=True):
            if used:
                seeds[(*(slice(None),) * axis, place)] = _BACKGROUND
    for places, value in ((scene.negative, _BACKGROUND), (scene.positive, _OBJECT)):
        _put_balls(seeds, places, value)
    for places, value in ((scene.negative, _BACKGROUND), (scene.positive, _OBJECT)):
        seeds[tuple(places.T)] = value
    if not (seeds == _BACKGROUND).any() or np.ptp(scene.image) == 0:
        return np.where(seeds == _OBJECT, 1, -1).astype(np.float32)
    with warnings.catch_warnings():
        # It advises a faster solver that needs another package.
        warnings.simplefilter("ignore")
        chances = solve(
            scene.image,
            seeds,
            beta=_BETA,
            mode="cg_j",
            tol=_SOLVER_TOLERANCE,
            return_full_prob=True,
        )
    return (chances[0] - 0.5).astype(np.float32)


def _put_balls(seeds: NDArray[np.int32], places: NDArray[np.intp], value: int) -> None:
    for place in places:
        ends = zip(place, seeds.shape, strict=True)
        offsets = np.ogrid[tuple(slice(-at, n - at) for at, n in ends)]
        seeds[sum(d**2 for d in offsets) <= _SEED_RADIUS**2] = value


_INTENSITY_TOLERANCE = 0.05
_SMOOTHING = 1.0
_PERCENTILES = (1, 99)


def region_growing() -> Baseline:
    """Give region growing as a segmenter.

    A voxel of the smoothed image belongs to the object when its intensity is that at a positive
    click, give or take a twentieth of the image's range, no negative click is nearer than every
    positive one, and such voxels lead from it to a positive click.
    """
    settings = f"tolerance {_INTENSITY_TOLERANCE}, smoothing {_SMOOTHING}"
    return Baseline("region-growing", _grow, settings)


def _grow(scene: Scene) -> Floats:
    image = np.asarray(ndimage.gaussian_filter(scene.image, _SMOOTHING), np.float32)
    tolerance = _INTENSITY_TOLERANCE * float(np.ptp(np.percentile(image, _PERCENTILES)))
    alike = np.zeros(image.shape, bool)
    for place in scene.positive:
        alike |= np.abs(image - image[tuple(place)]) <= tolerance
    if len(scene.negative):
        alike &= _distances(image, scene.positive) <= _distances(image, scene.negative)
    alike[tuple(scene.positive.T)] = True
    parts = np.zeros(image.shape, np.int32)
    ndimage.label(alike, output=parts)
    kept = np.unique(parts[tuple(scene.positive.T)])
    return np.where(np.isin(parts, kept), 1, -1).astype(np.float32)


def _distances(image: Floats, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Give the distance in voxels from each voxel of the image to the nearest of some places."""
    voxels = np.indices(image.shape).reshape(3, -1).T
    return KDTree(places).query(voxels)[0].reshape(image.shape)
