"""Labelled volumes and label maps on disk, divided by patient."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.geometry import Volume, read_volume

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Case:
    """One patient's volume with its labels, or a label map without an image.

    Attributes
    ----------
    set_name, name : str
        The set it belongs to and its name there.
    image : Path or None
        The volume's file; None for a label map.
    labels : Path
        The label file, on the grid of the image.
    """

    set_name: str
    name: str
    image: Path | None
    labels: Path


def labelled_cases(folder: Path, part: Part) -> list[Case]:
    """List the labelled cases of one part of the split.

    Parameters
    ----------
    folder : Path
        Holds `split.json` and `labelled/<set>/<case>_img.nii.gz` with `<case>_seg.nii.gz`.
    part : "train" or "validation"
        Which patients.

    Raises
    ------
    TrainingError
        When there is no split, or it names a case that is absent.
    """
    split = _read_json(folder / "split.json")
    return [
        _case(folder, set_name, name) for set_name, names in split[part].items() for name in names
    ]


def _case(folder: Path, set_name: str, name: str) -> Case:
    home = folder / "labelled" / set_name
    case = Case(set_name, name, home / f"{name}_img.nii.gz", home / f"{name}_seg.nii.gz")
    for path in (case.image, case.labels):
        if path is not None and not path.exists():
            raise TrainingError(
                f"The split names {path}, which is absent.", "Complete the data folder."
            )
    return case


def label_map_cases(folder: Path) -> list[Case]:
    """List the label maps without images: `label_maps/<set>/*_seg.nii.gz`."""
    return [
        Case(path.parent.name, path.name.removesuffix("_seg.nii.gz"), None, path)
        for path in sorted((folder / "label_maps").glob("*/*_seg.nii.gz"))
    ]


def label_names(folder: Path, set_name: str) -> dict[int, str]:
    """Give the names of a labelled set's values; empty where none are stored."""
    path = folder / "labelled" / set_name / "labels.json"
    if not path.exists():
        return {}
    table = _read_json(path)
    flat = table.get("labels", table)
    return {int(value): str(name) for value, name in flat.items() if str(value).isdigit()}


def _read_json(path: Path) -> dict[str, dict[str, list[str]]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path} cannot be read.", "Give the folder that holds it.") from error


@dataclass(frozen=True)
class Structure:
    """Where one structure of a case lies.

    Attributes
    ----------
    value : int
        Its value in the label file.
    seeds : ndarray of integer
        (N, 3) some of its voxels, source index, evenly taken from all of them.
    extent : float
        The longest edge of its bounding box, mm.
    """

    value: int
    seeds: NDArray[np.integer]
    extent: float


@dataclass(frozen=True)
class LabelledVolume:
    """A case in memory.

    Attributes
    ----------
    volume : Volume
        The image; for a label map, the labels themselves.
    labels : ndarray of int16
        (I, J, K), source order.
    structures : tuple of Structure
        Those large enough to be asked for.
    has_image : bool
        Whether `volume` is a scan.
    """

    volume: Volume
    labels: NDArray[np.int16]
    structures: tuple[Structure, ...]
    has_image: bool


SMALLEST = 60
"""Voxels that a structure needs to be worth a sample."""

SEEDS = 500
"""Voxels of a structure that are kept to place crops on."""


@cache
def load_case(case: Case) -> LabelledVolume:
    """Read a case once and keep it."""
    labels = np.ascontiguousarray(read_volume(case.labels).voxels.astype(np.int16))
    volume = read_volume(case.image or case.labels)
    return LabelledVolume(
        volume, labels, _structures(labels, volume.spacing), case.image is not None
    )


def _structures(
    labels: NDArray[np.int16], spacing: tuple[float, float, float]
) -> tuple[Structure, ...]:
    where = np.flatnonzero(labels)
    values = labels.ravel()[where]
    order = np.argsort(values, kind="stable")
    groups = np.split(where[order], np.flatnonzero(np.diff(values[order])) + 1)
    found: list[Structure] = []
    for group in groups:
        if len(group) < SMALLEST:
            continue
        voxels = np.stack(np.unravel_index(group, labels.shape), axis=1)
        extent = float(np.max((np.ptp(voxels, axis=0) + 1) * spacing))
        value = int(labels.ravel()[group[0]])
        found.append(Structure(value, voxels[:: max(1, len(voxels) // SEEDS)], extent))
    return tuple(found)


def by_set(cases: list[Case]) -> dict[str, list[Case]]:
    """Group cases by their set."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.set_name, []).append(case)
    return groups
