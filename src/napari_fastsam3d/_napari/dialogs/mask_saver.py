"""Where a mask is saved: beside the scan, unless the user says otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.source import SCAN_SUFFIXES, scan_stem

FILTER = (
    "NIfTI (*.nii.gz *.nii);;NRRD (*.nrrd);;MetaImage (*.mha);;"
    "3D Slicer segmentation (*.seg.nrrd);;DICOM segmentation (*.dcm)"
)
_PATTERN = re.compile(r"\*(\.[\w.]+)")


def suggested_path(volume: Volume) -> Path:
    """Return ``<stem>_mask.nii.gz`` beside the scan, or in the home folder if it has no file."""
    source = volume.source.path
    if source is None:
        return Path.home() / f"{scan_stem(volume.name)}_mask.nii.gz"
    if volume.source.format == "dicom" and volume.source.files != {source}:
        folder = source if source.is_dir() else source.parent
        return folder.parent / f"{folder.name}_mask.nii.gz"
    return source.parent / f"{scan_stem(source.name)}_mask.nii.gz"


def ask_path(parent: QWidget | None, volume: Volume) -> Path | None:
    """Let the user choose where to save; without a suffix it gets that of the kind chosen."""
    chosen, kind = QFileDialog.getSaveFileName(
        parent, "Save mask", str(suggested_path(volume)), FILTER
    )
    return unless_kept(parent, Path(chosen), with_suffix(Path(chosen), kind)) if chosen else None


def unless_kept(parent: QWidget | None, chosen: Path, path: Path) -> Path | None:
    """Return `path`, or None where the user would rather keep the file that is there.

    The dialog asked about the name `chosen` in it, which is not that of the file once a suffix is
    added.
    """
    return path if path == chosen or may_replace(parent, [path]) else None


def may_replace(parent: QWidget | None, paths: Sequence[Path]) -> bool:
    """Ask whether files that exist may be replaced; True where none of them does."""
    existing = [path.name for path in paths if path.exists()]
    if not existing:
        return True
    question = f"These exist already and would be replaced: {', '.join(existing)}"
    answer = QMessageBox.question(parent, "Replace files?", question)
    return answer == QMessageBox.StandardButton.Yes


def with_suffix(path: Path, kind: str = "", kinds: str = FILTER) -> Path:
    """Return a path with the suffix of its kind of file.

    Parameters
    ----------
    path : Path
        What was typed. A suffix of a medical image or of one of the kinds is kept, unless another
        kind was chosen than the first, which a dialog begins with.
    kind : str
        The kind that was chosen, as a dialog names it, such as ``"NRRD (*.nrrd)"``.
    kinds : str
        All kinds that were offered.
    """
    first = kinds.split(";;")[0]
    wanted = _PATTERN.findall(kind) or _PATTERN.findall(first)
    known = sorted({*SCAN_SUFFIXES, *_PATTERN.findall(kinds)}, key=len, reverse=True)
    suffix = next((end for end in known if path.name.lower().endswith(end)), "")
    if suffix in wanted or (suffix and kind in ("", first)):
        return path
    return path.with_name(path.name[: len(path.name) - len(suffix)] + wanted[0])
