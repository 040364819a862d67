"""The cases that an adapter is fitted on: labelled scans, or what a bank kept of accepted ones."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_fastsam3d.errors import AdapterError
from napari_fastsam3d.evaluation.dataset import LabelledCase
from napari_fastsam3d.geometry import Volume, read_labels, read_volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import structure_of
from napari_fastsam3d.memory.search import of_structure

Scan = tuple[Volume, Mask]


@dataclass(frozen=True)
class TeachingCase:
    """A scan with a structure in it.

    Attributes
    ----------
    name : str
    patient : str
        Cases of one patient are never on both sides of a split.
    near : callable
        Reads the scan and the mask, at least a crop of the model around that.
    far : callable or None
        The same as seen from afar; None where `near` shows all of the scan.
    spacing : float or None
        Size in mm of a crop voxel at which `near` was looked at; None where it is a scan.
    """

    name: str
    patient: str
    near: Callable[[], Scan]
    far: Callable[[], Scan] | None
    spacing: float | None = None


def labelled_teaching_cases(
    cases: Sequence[LabelledCase],
    structure: str,
    names: Mapping[int, str],
    patient: str | None = None,
) -> list[TeachingCase]:
    """Return the labelled scans that show a structure.

    Parameters
    ----------
    cases : sequence of LabelledCase
    structure : str
        Its name among `names`, or those that the label files hold, or its value.
    names : mapping of int to str
        What label values are called.
    patient : str, optional
        A regular expression that finds in the name of a case whose it is; by default each case is
        of a patient of its own.

    Raises
    ------
    AdapterError
        If none shows it, or the regular expression is none.
    """
    pattern = _pattern(patient)
    found: list[TeachingCase] = []
    seen: dict[str, str] = {}
    for case in cases:
        values = _values(case, structure, names, seen)
        if values:
            whose = pattern.search(case.name) if pattern else None
            read = _Labelled(case, values)
            found.append(TeachingCase(case.name, whose.group() if whose else case.name, read, read))
    if not found:
        listed = ", ".join(sorted(seen.values(), key=str.casefold)[:12])
        raise AdapterError(
            f"No label file shows {structure}.",
            f"They show: {listed}." if listed else "Check the label files.",
        )
    return found


def _pattern(patient: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(patient) if patient else None
    except re.error as error:
        raise AdapterError(
            f"{patient!r} is no regular expression: {error}.", r"Write one, such as patient\d+."
        ) from error


def _values(
    case: LabelledCase, structure: str, names: Mapping[int, str], seen: dict[str, str]
) -> tuple[int, ...]:
    """Return the label values of a structure in a case; notes what else is there."""
    labels = read_labels(case.labels, read_volume(case.image or case.labels))
    there = [int(value) for value in np.unique(labels.labels) if value]
    told = {value: names.get(value) or labels.names.get(value) or str(value) for value in there}
    seen.update((structure_of(name), name) for name in told.values())
    return tuple(v for v, name in told.items() if structure_of(name) == structure_of(structure))


@dataclass(frozen=True)
class _Labelled:
    """Reads a scan and the mask of some label values."""

    case: LabelledCase
    values: tuple[int, ...]

    def __call__(self) -> Scan:
        volume = read_volume(self.case.image or self.case.labels)
        labels = read_labels(self.case.labels, volume).labels
        return volume, Mask.of_volume(np.isin(labels, self.values))


def remembered_teaching_cases(bank: MemoryBank, structure: str) -> list[TeachingCase]:
    """Return what a bank kept of the scans of a structure.

    Raises
    ------
    MemoryBankError
        If the structure is not remembered.
    AdapterError
        If no part of its scans was kept.
    """
    entries = of_structure(structure, bank.list())
    found = [_remembered(bank, entry.id) for entry in entries if bank.scans.has(entry.id)]
    if found:
        return found
    raise AdapterError(
        f"Of the {len(entries)} remembered cases of {structure} no part of the scan was kept.",
        "Agree that it is, with napari-fastsam3d memory keep-scans on or in the Memory panel, and "
        "accept some more; or give scans and labels.",
    )


def _remembered(bank: MemoryBank, identity: str) -> TeachingCase:
    kept = bank.scans.get(identity)
    far = None if kept.far is None else kept.far.read
    return TeachingCase(identity[:8], identity, kept.near.read, far, kept.near.spacing)


def folds_of(cases: Sequence[TeachingCase], most: int) -> list[list[int]]:
    """Divide cases among folds by patient: each patient alone where there are few.

    Parameters
    ----------
    cases : sequence of TeachingCase
    most : int
        Folds, at the most.

    Returns
    -------
    list of list of int
        The places of the cases that each fold leaves out; none where there is one patient only.
    """
    patients = list(dict.fromkeys(case.patient for case in cases))
    count = min(most, len(patients))
    if count < 2:
        return []
    fold = {patient: place % count for place, patient in enumerate(patients)}
    return [[n for n, c in enumerate(cases) if fold[c.patient] == k] for k in range(count)]
