"""One anatomy, stored in every order of axes there is."""

from itertools import permutations, product

import numpy as np

from napari_fastsam3d.geometry import Orientation, Volume

AXES = tuple(permutations(range(3)))
FLIPS = tuple(product((False, True), repeat=3))
ORDERS = tuple(product(AXES, FLIPS))


def stored(canonical: Volume, axes, flips) -> tuple[Volume, Orientation]:
    """Store a canonical volume with its axes permuted and flipped; also the way it was done.

    The way maps the canonical grid (its source) to the stored one (its target).
    """
    way = Orientation(axes, flips, canonical.shape)
    voxels = np.array(way.view(canonical.voxels), order="F")
    return Volume.from_array(voxels, way.affine_of(canonical.affine)), way
