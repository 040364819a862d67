"""Where a volume came from, and what is needed to save a mask that fits it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Format = Literal["array", "nifti", "nrrd", "metaimage", "dicom"]

SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    "nifti": (".nii.gz", ".nii"),
    "nrrd": (".nrrd", ".nhdr"),
    "metaimage": (".mha", ".mhd"),
    "dicom": (".dcm", ".dicom", ".ima"),
}
"""How the names of scans end, in lower case, by format; longer ones first."""

SCAN_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def scan_stem(name: str) -> str:
    """Return the name of a scan's file without its ending; any other name as it is."""
    ending = next((suffix for suffix in SCAN_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)]


def distinct_names(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Return names of files of which no two are one, each with its number where they were.

    Some systems take names for one that differ in nothing but capitals.
    """
    often = Counter(name.lower() for name in names)
    distinct, taken = list[str](), {name for name, count in often.items() if count == 1}
    for name, number in zip(names, numbers, strict=True):
        if often[name.lower()] > 1:
            name = f"{name}_{number}"
            while name.lower() in taken:
                name = f"{name}_"
            taken.add(name.lower())
        distinct.append(name)
    return distinct


MASK_SUFFIXES = (*SUFFIXES["nifti"], ".nrrd", ".mha")
"""How the names of masks may end that are written here."""


@dataclass(frozen=True, eq=False)
class Source:
    """Where a volume came from.

    Parameters
    ----------
    path : Path or None
        The file or folder; None for an array made in memory.
    format : {"array", "nifti", "nrrd", "metaimage", "dicom"}
        Which reader made it.
    header : nibabel.Nifti1Header, nibabel.Nifti2Header or None
        The header of a NIfTI file, as read; a mask saved as NIfTI keeps its orientation fields,
        codes and units. None for the others, whose geometry is in the affine alone.
    frame : int or None
        Which volume of a 4D file.
    series : str or None
        Which series of a DICOM folder, or volume of one; see `list_series`.
    files : frozenset of Path
        The files that a DICOM volume was read from, copies of slices included.
    label_names : mapping of int to str
        What its values mean, where it is a mask and says so.
    modality : str or None
        What kind of scan the file says it is, as DICOM writes it: "CT", "MR", "PT". None where it
        says nothing, as most formats can't.
    """

    path: Path | None = None
    format: Format = "array"
    header: Any = None
    frame: int | None = None
    series: str | None = None
    label_names: Mapping[int, str] = field(default_factory=dict)
    modality: str | None = None
    files: frozenset[Path] = frozenset()
