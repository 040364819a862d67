"""Where the mask of one object runs into objects that are locked."""

from collections.abc import Iterable

from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.mask import Mask, deepest_voxel


def intrusions(
    own: Mask, locked: Iterable[Mask], spacing: tuple[float, float, float]
) -> list[Index]:
    """Return, for each locked mask that a mask runs into, the voxel deepest in what both claim.

    A negative point there tells the model of a neighbour that it does not know.

    Parameters
    ----------
    own : Mask
        Of the object, as the model has it: voxels that it must cede to locked objects included.
    locked : iterable of Mask
        Those of the locked objects.
    spacing : tuple of float
        Voxel sizes, mm along the source axes.

    Returns
    -------
    list of tuple of int
        Source indices, in the order of the locked masks; none for those that it stays out of.
    """
    found: list[Index] = []
    for other in locked:
        both = own.box.intersection(other.box)
        if both.is_empty:
            continue
        claimed = own.within(both) & other.within(both)
        if claimed.any():
            at = deepest_voxel(claimed, spacing)
            i, j, k = (offset + low for offset, low in zip(at, both.start, strict=True))
            found.append((i, j, k))
    return found
