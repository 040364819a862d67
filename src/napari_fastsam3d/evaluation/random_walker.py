"""The random walker: each voxel goes to the seed that a walk from it is likeliest to reach."""

import warnings

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import EvaluationError
from napari_fastsam3d.evaluation.baseline import Baseline, Floats, Scene

_BETA = 50
_TOLERANCE = 1e-2
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
    settings = f"beta {_BETA}, tolerance {_TOLERANCE}, seeds {_SEED_RADIUS}"
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
            scene.image, seeds, beta=_BETA, mode="cg_j", tol=_TOLERANCE, return_full_prob=True
        )
    return (chances[0] - 0.5).astype(np.float32)


def _put_balls(seeds: NDArray[np.int32], places: NDArray[np.intp], value: int) -> None:
    for place in places:
        ends = zip(place, seeds.shape, strict=True)
        offsets = np.ogrid[tuple(slice(-at, n - at) for at, n in ends)]
        seeds[sum(d**2 for d in offsets) <= _SEED_RADIUS**2] = value
