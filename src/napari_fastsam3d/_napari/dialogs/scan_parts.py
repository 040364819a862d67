"""The volumes that one file or folder holds, and asking the user for one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QInputDialog, QWidget

from napari_fastsam3d.geometry import (
    Volume,
    begins_as_dicom,
    list_frames,
    list_series,
    read_volume,
)


@dataclass(frozen=True)
class Part:
    """One volume of a file or folder.

    Parameters
    ----------
    label : str
        For the user to choose by.
    frame : int or None
        Which volume of a 4D file.
    series : str or None
        Which volume of a DICOM folder or file.
    """

    label: str
    frame: int | None = None
    series: str | None = None


def parts_of(path: Path) -> list[Part]:
    """List the volumes of a file or DICOM folder, at least one; reads headers only.

    Scouts, single images and screen captures beside a DICOM scan are not listed.

    Raises
    ------
    VolumeError
        If it can't be read.
    """
    if path.is_dir() or begins_as_dicom(path):
        found = list_series(path)
        found = [each for each in found if each.is_scan] or found
        return [Part(f"{n}. {each}", series=each.id) for n, each in enumerate(found, 1)]
    frames = list_frames(path)
    if len(frames) == 1:
        return [Part("the volume")]
    return [Part(f"volume {n + 1} of {len(frames)}", frame=n) for n in frames]


def read_part(path: Path, part: Part) -> Volume:
    """Read one volume of a file or folder."""
    return read_volume(path, frame=part.frame, series=part.series)


def ask_part(parent: QWidget | None, path: Path, parts: list[Part]) -> Part | None:
    """Let the user choose one of several volumes; None if they would rather not."""
    if len(parts) == 1:
        return parts[0]
    labels = [part.label for part in parts]
    question = f"{path.name} holds {len(parts)} volumes. Which one?"
    label, taken = QInputDialog.getItem(parent, "Open scan", question, labels, 0, False)
    return parts[labels.index(label)] if taken else None
