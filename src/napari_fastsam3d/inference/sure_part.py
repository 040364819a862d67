"""What of a scribble or a lasso is sure to be meant."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import Scribble

# Of what is circled, how deep a voxel must lie to be sure to be meant, as a part of the deepest: an
# outline is drawn roughly.
_SURE = 0.5


def sure_part(scribble: Scribble, spacing: tuple[float, float, float]) -> Mask:
    """Return what a scribble constrains whatever the model says: of a lasso what lies well inside.

    Depth is taken in the plane of what is one slice thick.

    Parameters
    ----------
    scribble : Scribble
    spacing : tuple of float
        Voxel sizes, mm along the source axes.

    Returns
    -------
    Mask
        Source index.
    """
    drawn = scribble.voxels.unpack()
    if not scribble.filled:
        return drawn
    depth = _depth(drawn, spacing)
    return Mask.of(drawn.box, depth >= _SURE * depth.max())


def _depth(region: Mask, spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return how far in mm each voxel of a mask's box lies from its rim, 0 outside the mask."""
    wide = [axis for axis, n in enumerate(region.box.shape) if n > 1] or [0]
    rim = [int(axis in wide) for axis in range(3)]
    padded = np.pad(region.voxels, [(width, width) for width in rim])
    # Without the flat axes, along which everything would lie on the rim.
    flat = padded.reshape([padded.shape[axis] for axis in wide])
    depth = ndimage.distance_transform_edt(flat, sampling=[spacing[axis] for axis in wide])
    inner = np.asarray(depth)[tuple(slice(1, -1) for _ in wide)]
    return inner.reshape(region.box.shape)
