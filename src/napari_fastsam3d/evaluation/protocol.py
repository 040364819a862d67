"""How structures are chosen and clicked."""

from dataclasses import dataclass

from napari_fastsam3d.evaluation.resampling import Resampling, thick_slices
from napari_fastsam3d.geometry import Volume


@dataclass(frozen=True)
class Protocol:
    """How structures are chosen and clicked.

    Attributes
    ----------
    clicks : int
        Simulated clicks a structure.
    most : int
        Largest structures taken of a case.
    smallest : int
        Voxels that a structure needs, on the grid of its file.
    random_first_click : bool
        Whether the first click falls anywhere in the structure, not in its middle.
    slice_thickness : float or None
        The scan is brought to slices at least so thick, mm.
    zoom : float
        The scan is brought to voxels so many times as large along each axis.
    shift : float
        Crop voxels, at most, by which what the model looks at after the first click is moved aside
        along each axis.
    """

    clicks: int = 10
    most: int = 6
    smallest: int = 200
    random_first_click: bool = False
    slice_thickness: float | None = None
    zoom: float = 1.0
    shift: float = 0.0

    def resampling(self, volume: Volume) -> Resampling | None:
        """Give the way to the grid that is evaluated on; None where it is the file's own."""
        if self.slice_thickness is not None:
            spacing = thick_slices(volume, self.slice_thickness)
        else:
            spacing = volume.spacing
        i, j, k = (size * self.zoom for size in spacing)
        return None if (i, j, k) == volume.spacing else Resampling.to_spacing(volume, (i, j, k))
