"""What a user can draw: lines in an object or beside it, and regions that are circled."""

import operator
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry.drawing import region_inside
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Scribble
from napari_fastsam3d.inference.prompt_check import positivity
from napari_fastsam3d.session.object_commands import ObjectCommands
from napari_fastsam3d.session.prompt_actions import AddPrompt
from napari_fastsam3d.session.request import Result

# Indices beyond this are a slip.
_FARTHEST = 1 << 20


class ScribbleCommands(ObjectCommands):
    """The commands that draw."""

    def add_scribble(self, indices: ArrayLike, positive: bool = True) -> Future[Result]:
        """Draw a line in the current object, or, negative, beside it.

        All its voxels are constrained; the model is told of a few of them.

        Parameters
        ----------
        indices : array_like of int, shape (N, 3)
            Source indices of the voxels of the line, in any order; what lies outside the volume is
            cut off. `geometry.drawing.voxels_along` joins corners.
        positive : bool
            Whether the voxels belong to the object.
        """
        voxels = _voxels(indices)
        inside = ((voxels >= 0) & (voxels < self._scheduler.volume.shape)).all(axis=1)
        return self._scribble(Mask.of_indices(voxels[inside]), positive, filled=False)

    def add_lasso(
        self, plane: tuple[int, int], outline: ArrayLike, positive: bool = True
    ) -> Future[Result]:
        """Circle a part of the current object in a slice, or, negative, one that isn't its own.

        An outline is taken to be rough: what lies well inside is constrained.

        Parameters
        ----------
        plane : tuple of int
            Source axis that the slice is across, 0 to 2, and the slice's index along it.
        outline : array_like of float, shape (N, 2)
            Corners of the outline, source indices along the other two axes in their order; the
            last is joined to the first. What lies outside the volume is cut off.
        positive : bool
            Whether what is circled belongs to the object.
        """
        axis, position = _slice(plane)
        region = region_inside(_corners(outline), axis, position, self._scheduler.volume.shape)
        return self._scribble(region, positive, filled=True)

    def _scribble(self, drawn: Mask, positive: bool, filled: bool) -> Future[Result]:
        voxels, inside = PackedMask.of(drawn), positivity(positive)
        if voxels.is_empty:
            raise PromptError("What was drawn holds no voxel of the volume.", "Draw inside it.")
        return self._scheduler.prompt(
            lambda state: AddPrompt(
                state.target, Scribble(state.next_prompt, voxels, inside, filled)
            )
        )


def _voxels(indices: ArrayLike) -> NDArray[np.intp]:
    """Check the voxels of a scribble.

    Returns
    -------
    ndarray of int, shape (N, 3)

    Raises
    ------
    PromptError
        If they aren't triples of whole numbers.
    """
    found = _rows(indices, 3)
    if found is None or (found != np.floor(found)).any():
        raise PromptError(
            "A scribble is drawn through voxels, three whole numbers each.",
            "Give an array of shape (N, 3) of source indices.",
        )
    return found.astype(np.intp)


def _corners(outline: ArrayLike) -> NDArray[np.float64]:
    """Check the outline of a lasso: finite numbers, shape (N, 2), or PromptError."""
    found = _rows(outline, 2)
    if found is None or len(found) < 3:
        raise PromptError(
            "The outline of a lasso needs three corners or more, two numbers each.",
            "Give an array of shape (N, 2) of source indices in the slice.",
        )
    return found


def _slice(plane: Any) -> tuple[int, int]:
    """Check the axis and the index of a slice."""
    try:
        axis, position = map(operator.index, plane)
    except (TypeError, ValueError):
        axis, position = -1, -1
    if axis not in (0, 1, 2):
        raise PromptError(
            f"{plane!r} is no slice.",
            "Give the source axis that it is across, 0 to 2, and its index.",
        )
    return axis, position


def _rows(values: ArrayLike, length: int) -> NDArray[np.float64] | None:
    """Return numbers as rows of a length; None where they aren't, or can't be indices of a scan."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    shaped = found.ndim == 2 and found.shape[1] == length and len(found)
    return found if shaped and (np.abs(found) < _FARTHEST).all() else None
