# pyright: basic
"""Where a mask is saved: beside the scan, unless the user says otherwise."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_fastsam3d.geometry import Volume

FILTER = "NIfTI (*.nii.gz *.nii);;NRRD (*.nrrd);;MetaImage (*.mha)"
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


def suggested_path(volume: Volume) -> Path:
    """Return ``<stem>_mask.nii.gz`` beside the scan, or in the home folder if it has no file."""
    source = volume.source.path
    if source is None:
        return Path.home() / f"{_stem(volume.name)}_mask.nii.gz"
    if volume.source.format == "dicom":
        folder = source if source.is_dir() else source.parent
        return folder.parent / f"{folder.name}_mask.nii.gz"
    return source.parent / f"{_stem(source.name)}_mask.nii.gz"


def ask_path(parent: QWidget | None, volume: Volume) -> Path | None:
    """Let the user choose where to save; without a suffix it becomes ``.nii.gz``."""
    chosen, _ = QFileDialog.getSaveFileName(
        parent, "Save mask", str(suggested_path(volume)), FILTER
    )
    return with_suffix(Path(chosen)) if chosen else None


def with_suffix(path: Path) -> Path:
    """Add ``.nii.gz`` to a name that has no suffix of a medical image."""
    if path.name.lower().endswith(_SUFFIXES):
        return path
    return path.with_name(path.name + ".nii.gz")


def _stem(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
