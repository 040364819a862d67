"""Labelled volumes and label maps on disk, divided by patient."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_fastsam3d.errors import DataError
from napari_fastsam3d.geometry.io.json_text import parse_json

UNKNOWN = "unknown"
"""The modality of a set of which nothing says what it is."""

_IMAGE, _LABELS = "_img.nii.gz", "_seg.nii.gz"


@dataclass(frozen=True)
class LabelledCase:
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


def labelled_cases(folder: Path, part: str) -> list[LabelledCase]:
    """List the labelled cases of one part of the split.

    Parameters
    ----------
    folder : Path
        Holds `split.json` and `labelled/<set>/<case>_img.nii.gz` with `<case>_seg.nii.gz`.
    part : str
        "train", "validation", or whatever the split names.

    Raises
    ------
    DataError
        When there is no split, or it names a case that is absent.
    """
    split = _read_json(folder / "split.json")
    if part not in split:
        raise DataError(
            f"{folder / 'split.json'} has no part {part}.", f"It has {', '.join(split)}."
        )
    if not isinstance(split[part], dict):
        raise DataError(
            f"{part} in {folder / 'split.json'} names no sets.",
            f'Write {{"{part}": {{"SET": ["CASE", ...]}}}}.',
        )
    return [
        _case(folder, set_name, name) for set_name, names in split[part].items() for name in names
    ]


def _case(folder: Path, set_name: str, name: str) -> LabelledCase:
    home = folder / "labelled" / set_name
    image, labels = home / f"{name}{_IMAGE}", home / f"{name}{_LABELS}"
    for path in (image, labels):
        if not path.exists():
            raise DataError(f"The split names {path}, which is absent.", "Complete the folder.")
    return LabelledCase(set_name, name, image, labels)


def label_map_cases(folder: Path) -> list[LabelledCase]:
    """List the label maps without images: `label_maps/<set>/*_seg.nii.gz`."""
    return [
        LabelledCase(path.parent.name, path.name.removesuffix(_LABELS), None, path)
        for path in sorted((folder / "label_maps").glob(f"*/*{_LABELS}"))
    ]


def unlabelled_scans(folder: Path) -> list[Path]:
    """List the scans without labels: `unlabelled/<set>/*_img.nii.gz`."""
    return sorted((folder / "unlabelled").glob(f"*/*{_IMAGE}"))


def paired_cases(images: Path, labels: Path) -> list[LabelledCase]:
    """Pair a scan with its labels, or the `*_img.nii.gz` of a folder with `*_seg.nii.gz`.

    Parameters
    ----------
    images, labels : Path
        Two files, or two folders, which may be the same. The set is called as the folder of the
        images.

    Raises
    ------
    DataError
        When the folder holds no scan, or a scan has no labels.
    """
    if images.is_file():
        return [LabelledCase(images.parent.name, images.name.removesuffix(_IMAGE), images, labels)]
    found = [
        LabelledCase(images.name, path.name.removesuffix(_IMAGE), path, labels / _labels_name(path))
        for path in sorted(images.glob(f"*{_IMAGE}"))
    ]
    if not found:
        raise DataError(f"{images} holds no *{_IMAGE}.", "Give a scan, or a folder of such.")
    for case in found:
        if not case.labels.exists():
            raise DataError(f"{case.name} has no labels.", f"Put them at {case.labels}.")
    return found


def _labels_name(image: Path) -> str:
    return image.name.removesuffix(_IMAGE) + _LABELS


def by_set(cases: list[LabelledCase]) -> dict[str, list[LabelledCase]]:
    """Group cases by their set."""
    groups: dict[str, list[LabelledCase]] = {}
    for case in cases:
        groups.setdefault(case.set_name, []).append(case)
    return groups


def evenly_spaced(cases: list[LabelledCase], number: int) -> list[LabelledCase]:
    """Take so many cases of each set, the same ones every time, evenly spaced in its list."""
    return [
        group[at * len(group) // min(number, len(group))]
        for group in by_set(cases).values()
        for at in range(min(number, len(group)))
    ]


def names_in(path: Path) -> dict[int, str]:
    """Read what label values are called: JSON of value to name, or that under `labels`.

    Raises
    ------
    DataError
        When it cannot be read.
    """
    table = _read_json(path)
    return _names(table.get("labels", table), path)


def label_names(folder: Path, set_name: str) -> dict[int, str]:
    """Give the names of the values in a set of labelled volumes or of label maps.

    Empty where none are stored. A `labels.json` of several tables, each for the files whose names
    begin with its key, counts where one of them is for all files of the set.
    """
    for home in (folder / "labelled" / set_name, folder / "label_maps" / set_name):
        path = home / "labels.json"
        if path.exists():
            files = [file.name for file in home.glob(f"*{_LABELS}")]
            tables = {k: v for k, v in _read_json(path).items() if isinstance(v, dict)}
            for key, table in tables.items():
                if files and all(name.startswith(f"{key}_") for name in files):
                    return _names(table, path)
            return names_in(path)
    return {}


def modality(folder: Path, set_name: str) -> str:
    """Tell whether a set is CT or MR.

    It is the `modality` in the set's `labels.json`; without one, the first word of what the
    table in the folder's `INDEX.md` says about the set, where that is CT or MR; or else UNKNOWN.
    """
    path = folder / "labelled" / set_name / "labels.json"
    stored = _read_json(path).get("modality") if path.exists() else None
    if stored:
        return str(stored)
    index = folder / "INDEX.md"
    text = index.read_text(encoding="utf-8") if index.exists() else ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        told = re.match(r"(CT|MR)\b", cells[2]) if len(cells) > 2 else None
        if told and set_name in cells[0].split(", "):
            return told[1]
    return UNKNOWN


def _names(table: Any, path: Path) -> dict[int, str]:
    if not isinstance(table, dict):
        raise DataError(f"{path} names no label values.", 'Write {"1": "liver", "2": "spleen"}.')
    named: dict[str, Any] = table
    return {int(value): str(name) for value, name in named.items() if value.isdecimal()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.", "Give another, or fix it.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object.", "Give another, or fix it.")
    return content
