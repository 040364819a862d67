"""What is shared with ITK: its images, and its way of counting in LPS."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from SimpleITK import Image, ImageFileReader

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def silent_itk() -> Any:
    """Return the SimpleITK module, told not to print its warnings."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def affine_of(image: "Image | ImageFileReader") -> NDArray[np.float64]:
    """Return the (4, 4) affine, index to RAS mm, of a 3D image that counts in LPS."""
    dimension = image.GetDimension()
    directions = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    return ras_affine(directions * image.GetSpacing()[:3], image.GetOrigin()[:3])


def ras_affine(
    steps: NDArray[np.float64], origin: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the (4, 4) affine, index to RAS mm, of steps (3, 3), one a column, in LPS mm."""
    lps = np.eye(4)
    lps[:3, :3] = steps
    lps[:3, 3] = origin
    return _LPS_TO_RAS @ lps


def array_of(image: "Image") -> NDArray[Any]:
    """Return the voxels of an image, (I, J, K), i fastest in memory: its own, not a copy."""
    return np.asarray(_Pixels(image)).transpose()


class _Pixels:
    """The memory of an image; an array made of this keeps the image alive.

    SimpleITK's own array views don't, and dangle when the image goes.
    """

    def __init__(self, image: "Image") -> None:
        self._image = image
        self.__array_interface__ = silent_itk().GetArrayViewFromImage(image).__array_interface__
