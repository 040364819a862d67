"""How large a mask is, where it lies, and what the scan's values are in it."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_fastsam3d.geometry.diameters import Line, axial_diameters, longest_diameter
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.surface_area import surface_area
from napari_fastsam3d.geometry.volume import Volume

COLUMNS: dict[str, str] = {
    "volume_ml": "Volume, ml",
    "long_axis_mm": "Long axis, mm",
    "short_axis_mm": "Short axis, mm",
    "longest_3d_mm": "Longest in 3D, mm",
    "mean": "Mean",
    "sd": "SD",
    "minimum": "Min",
    "maximum": "Max",
    "surface_cm2": "Surface, cm²",
    "centroid_r_mm": "Centroid R, mm",
    "centroid_a_mm": "Centroid A, mm",
    "centroid_s_mm": "Centroid S, mm",
    "voxels": "Voxels",
}
"""What a table of measures tells, in its order: the name in files, and the heading."""


@dataclass(frozen=True)
class Measures:
    """What is measured of one mask; all but voxels and volume are None where it is empty.

    Parameters
    ----------
    voxels : int
        How many it holds.
    volume_ml : float
        Voxels times the volume of one, in millilitres.
    surface_cm2 : float or None
        Area of its surface by Crofton's formula, cm²; see `surface_area`.
    long_axis, short_axis : Line or None
        The RECIST diameters in the scan's axial slices, RAS mm: the longest line across one
        connected part in one slice, and the longest across it at right angles.
    longest_3d : Line or None
        The longest line across one connected part in space, RAS mm.
    mean, sd, minimum, maximum : float or None
        Of the scan's values in the mask, those that are not finite left out; the standard
        deviation is that of a sample (n - 1), and 0 for one voxel.
    centroid_mm : tuple of float or None
        Mean position of the voxels' centres, RAS mm.
    """

    voxels: int
    volume_ml: float
    surface_cm2: float | None = None
    long_axis: Line | None = None
    short_axis: Line | None = None
    longest_3d: Line | None = None
    mean: float | None = None
    sd: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    centroid_mm: tuple[float, float, float] | None = None

    @property
    def values(self) -> dict[str, float | None]:
        """The numbers by the names of `COLUMNS`, in their order; not rounded."""
        lines = {"long_axis_mm": self.long_axis, "short_axis_mm": self.short_axis}
        lines["longest_3d_mm"] = self.longest_3d
        found: dict[str, float | None] = {
            name: None if line is None else line.length for name, line in lines.items()
        }
        centroid = self.centroid_mm or (None, None, None)
        found.update(
            zip(("centroid_r_mm", "centroid_a_mm", "centroid_s_mm"), centroid, strict=True)
        )
        own = {name: getattr(self, name) for name in COLUMNS if name not in found}
        return {name: (found | own)[name] for name in COLUMNS}


@dataclass(frozen=True)
class Measured:
    """A row of a table of measures: an object, or a label of a file.

    Parameters
    ----------
    name : str
    label : int
        Its value in label maps.
    measures : Measures
    """

    name: str
    label: int
    measures: Measures

    @property
    def record(self) -> dict[str, Any]:
        """Name, label and every number by its name in files, rounded to six digits."""
        numbers = {name: _rounded(value) for name, value in self.measures.values.items()}
        return {"name": self.name, "label": self.label, **numbers}


def measure(mask: Mask, volume: Volume) -> Measures:
    """Measure a mask on its scan.

    Parameters
    ----------
    mask : Mask
        Source index, within the volume.
    volume : Volume
        The scan; oblique, sheared and anisotropic grids are taken as they are.
    """
    voxels = int(np.count_nonzero(mask.voxels))
    millilitres = voxels * volume.voxel_mm3 / 1000
    if not voxels:
        return Measures(0, 0.0)
    long_axis, short_axis = axial_diameters(mask, volume)
    mean, sd, minimum, maximum = _statistics(volume.voxels[mask.box.slices][mask.voxels])
    r, a, s = (float(mm) for mm in volume.to_world(_centre(mask)))
    return Measures(
        voxels,
        millilitres,
        surface_area(mask.voxels, volume.affine[:3, :3]) / 100,
        long_axis,
        short_axis,
        longest_diameter(mask, volume),
        mean,
        sd,
        minimum,
        maximum,
        (r, a, s),
    )


def measure_segments(segments: Iterable[Segment], volume: Volume) -> list[Measured]:
    """Measure the segments of a file on their scan, in their order; they may overlap."""
    return [Measured(each.name, each.value, measure(each.mask, volume)) for each in segments]


def table_of(rows: Sequence[Measured], separator: str = ",") -> str:
    """Return a table as text: a line of the names in files, and one for each row.

    Parameters
    ----------
    rows : sequence of Measured
    separator : str
        "," as in CSV; a tab for spreadsheets that text is pasted into.
    """
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["name", "label", *COLUMNS], delimiter=separator, lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(row.record for row in rows)
    return text.getvalue()


def _centre(mask: Mask) -> list[float]:
    """Return the mean source index of a mask."""
    found: list[float] = []
    for axis, start in enumerate(mask.box.start):
        others = tuple(other for other in range(3) if other != axis)
        counts = np.count_nonzero(mask.voxels, axis=others)
        found.append(start + float(np.average(np.arange(len(counts)), weights=counts)))
    return found


def _statistics(values: Any) -> tuple[float | None, float | None, float | None, float | None]:
    values = values[np.isfinite(values)].astype(np.float64)
    if not values.size:
        return None, None, None, None
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return float(values.mean()), sd, float(values.min()), float(values.max())


def _rounded(value: float | None) -> float | int | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")
