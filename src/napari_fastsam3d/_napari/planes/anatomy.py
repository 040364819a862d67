"""How a viewer's world lies in the patient: which way is right, anterior and superior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np
from napari.layers import Layer
from napari.utils.camera_orientations import HorizontalAxisOrientation, VerticalAxisOrientation
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d.geometry import Orientation
from napari_fastsam3d.geometry.orientation import axis_directions

PlaneName: TypeAlias = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[PlaneName, PlaneName, PlaneName] = ("axial", "coronal", "sagittal")

Direction: TypeAlias = tuple[float, float, float]

_UPRIGHT = {"axial": "IPL", "coronal": "PIL", "sagittal": "LIP"}
"""For each plane the directions into the depth, downwards and to the right on the screen."""
_OPPOSITE = dict(zip("RALPSI", "LPRAIS", strict=True))
_POSTERIOR, _SUPERIOR = (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)
_TILTED = 0.3


@dataclass(frozen=True)
class Upright:
    """How a plane is to be shown.

    Parameters
    ----------
    order : tuple of 3 ints
        World axes: the one across the slices, the one shown downwards or upwards, and the one
        shown to the right or to the left.
    vertical, horizontal
        Where the second and the third of these grow on the screen.
    """

    order: tuple[int, int, int]
    vertical: VerticalAxisOrientation
    horizontal: HorizontalAxisOrientation


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Directions of the three world axes of a viewer in the patient.

    Parameters
    ----------
    directions : ndarray, shape (3, 3)
        Unit vectors in RAS, one a column for each world axis.
    known : bool
        Whether the scan tells them; otherwise they were assumed.
    """

    directions: NDArray[np.float64]
    known: bool = True

    @classmethod
    def of(cls, frame: Frame, layer: Layer) -> Anatomy:
        """Return the anatomy of the world in which a layer lies on the grid of a frame."""
        origin, *ends = (layer.data_to_world(at) for at in np.vstack([np.zeros(3), np.eye(3)]))
        to_world = np.transpose([np.subtract(end, origin)[-3:] for end in ends])
        to_ras = frame.orientation.affine_of(frame.volume.affine)[:3, :3]
        return cls(axis_directions(to_ras @ np.linalg.inv(to_world)), frame.oriented)

    def upright(self, plane: PlaneName) -> Upright:
        """Return how a plane is shown radiologically: head or front up, patient's right on left."""
        affine = np.eye(4)
        affine[:3, :3] = self.directions
        closest = Orientation.closest(affine, (1, 1, 1), _UPRIGHT[plane])
        _, up, left = closest.flips
        return Upright(
            closest.axes,
            VerticalAxisOrientation("up" if up else "down"),
            HorizontalAxisOrientation("left" if left else "right"),
        )

    def plane_across(self, axis: int) -> PlaneName:
        """Return the plane whose slices are across a world axis (0 to 2)."""
        return next(each for each in PLANES if self.upright(each).order[0] == axis)

    def letters(self, direction: ArrayLike) -> str:
        """Name a direction of the world, (3,), by one letter of RLAPSI, or two where it is tilted.

        Where the anatomy is assumed a question mark follows.
        """
        ras = self.directions @ np.asarray(direction, np.float64)
        ras = ras / max(float(np.linalg.norm(ras)), 1e-12)
        strongest = np.argsort(-np.abs(ras), kind="stable")[:2]
        named = [
            "RAS"[axis] if ras[axis] > 0 else _OPPOSITE["RAS"[axis]]
            for place, axis in enumerate(strongest)
            if place == 0 or abs(ras[axis]) > _TILTED
        ]
        return "".join(named) + ("" if self.known else "?")

    def facing(self, displayed: Sequence[int]) -> tuple[Direction, Direction]:
        """Return where a camera looks that faces the patient, and where its top is.

        Parameters
        ----------
        displayed : sequence of 3 ints
            World axes, in the order in which the viewer shows them.

        Returns
        -------
        tuple of two tuples of 3 floats
            Directions of view and of up, along the displayed axes in their order.
        """
        to_world = np.linalg.inv(self.directions)
        view, up = (to_world @ np.array(each) for each in (_POSTERIOR, _SUPERIOR))
        axes = list(displayed)
        return cast(Direction, tuple(view[axes])), cast(Direction, tuple(up[axes]))
