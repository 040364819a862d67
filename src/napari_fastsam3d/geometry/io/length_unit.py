"""Units of length in the headers of files, and affines brought to mm."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MILLIMETRES = {
    "m": 1e3,
    "cm": 10.0,
    "mm": 1.0,
    "um": 1e-3,
    "nm": 1e-6,
    "in": 25.4,
    "km": 1e6,
}
_NAMES = {
    "m": "metres",
    "cm": "centimetres",
    "um": "micrometres",
    "nm": "nanometres",
    "in": "inches",
    "km": "kilometres",
}
_ALIASES = {
    "meter": "m",
    "metre": "m",
    "centimeter": "cm",
    "centimetre": "cm",
    "millimeter": "mm",
    "millimetre": "mm",
    "micrometer": "um",
    "micrometre": "um",
    "micron": "um",
    "\N{MICRO SIGN}m": "um",
    "\N{GREEK SMALL LETTER MU}m": "um",
    "nanometer": "nm",
    "nanometre": "nm",
    "inch": "in",
    "inche": "in",
    "kilometer": "km",
    "kilometre": "km",
}
_SMALLEST, _LARGEST = 1e-5, 100.0
_USUAL = (0.01, 30.0)


def length_unit(text: str) -> str | None:
    """Return the symbol of a unit of length by its name or symbol, or None if it is no such.

    Parameters
    ----------
    text : str
        Such as "um", "µm" or "micrometers".
    """
    name = text.strip().strip("\"'").strip()
    if name in _MILLIMETRES:
        return name
    name = name.lower()
    singular = name if name in _MILLIMETRES else name.removesuffix("s")
    return singular if singular in _MILLIMETRES else _ALIASES.get(singular)


def in_millimetres(
    affine: NDArray[np.float64], units: Sequence[str], notes: list[str]
) -> NDArray[np.float64]:
    """Bring an affine to mm, and note what a user should know of it.

    Where voxels of that unit would be larger than 100 mm or smaller than 10 nm, it is taken for a
    slip and mm for what was meant.

    Parameters
    ----------
    affine : ndarray of float64, shape (4, 4)
        Index to RAS in other units.
    units : sequence of str
        The symbol of each world axis's unit, from `length_unit`.
    notes : list of str
        What is told is appended.
    """
    scales = [_MILLIMETRES[unit] for unit in units]
    if all(scale == 1 for scale in scales):
        return affine
    scaled = np.diag([*scales, 1.0]) @ affine
    told = " and ".join(dict.fromkeys(_NAMES[unit] for unit in units if unit != "mm"))
    if not _believable(scaled):
        notes.append(f"The file's unit, {told}, is unbelievable; mm are assumed.")
        return affine
    notes.append(f"The file measures in {told}.")
    return scaled


def doubt_unnamed_unit(affine: NDArray[np.float64], notes: list[str]) -> None:
    """Note that mm are assumed, where a file names no unit and its voxels are unusual in mm."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < _USUAL[0] or sizes.max() > _USUAL[1]:
        told = " x ".join(f"{size:.3g}" for size in sizes)
        notes.append(f"The file names no unit of length; mm are assumed: voxels of {told} mm.")


def _believable(affine: NDArray[np.float64]) -> bool:
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((sizes >= _SMALLEST * 0.999).all() and (sizes <= _LARGEST * 1.001).all())
