"""Volumes from DICOM files: finding the images of a scan, and choosing one of several."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.dicom.frame import DicomFrame, read_frames
from napari_fastsam3d.geometry.io.dicom.grid import Grid, arrange
from napari_fastsam3d.geometry.io.dicom.grouping import Stack, sort_into_stacks
from napari_fastsam3d.geometry.io.dicom.header import LeftOutError, begins_as_dicom
from napari_fastsam3d.geometry.io.dicom.pixels import read_voxels, same_values
from napari_fastsam3d.geometry.orientation import ras_affine
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume

_DICOMDIR = "DICOMDIR"
_MOST_FILES = 50_000
_DAMAGED, _DIRECTORY = "damaged", "directory"
_REFUSALS = {
    "damaged": ("{} is damaged, or no DICOM image.", "Copy or export the file again."),
    "segmentation": ("{} is a DICOM segmentation, not a scan.", "Choose the scan it belongs to."),
    "contours": (
        "{} is an RT Structure Set: contours, and no voxels.",
        "Open it in 3D Slicer, and export a DICOM segmentation or .seg.nrrd.",
    ),
    "no image": ("{} holds no image, or is damaged.", "Choose the folder of slices."),
}


@dataclass(frozen=True)
class Series:
    """One volume of a DICOM folder or file: a series, or a part of one.

    Parameters
    ----------
    id : str
        What to give `read_volume` as `series`: its series instance UID if it is the only volume
        of that series, else the UID, ``#`` and a number from 1.
    description, modality : str
        As the scanner wrote them; may be empty.
    shape : tuple of int
        Columns, rows and slices.
    files : tuple of Path
        Its files, in no order.
    part : str
        What sets it apart from other volumes of its series, such as its time, echo or plane.
    is_scan : bool
        False for what usually lies beside a scan: single images, scouts, screen captures, dose.
    """

    id: str
    description: str
    modality: str
    shape: tuple[int, int, int]
    files: tuple[Path, ...]
    part: str = ""
    is_scan: bool = True

    def __str__(self) -> str:
        i, j, k = self.shape
        words = " ".join(w for w in (self.modality, self.description) if w) or "unnamed"
        return f"{words}{f' ({self.part})' if self.part else ''}, {i} x {j} x {k}"


@dataclass(eq=False)
class _Search:
    """The images of some files, and the files that hold none."""

    frames: list[DicomFrame] = field(default_factory=list)
    left_out: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def look_into(self, paths: Iterable[Path]) -> None:
        for path in paths:
            try:
                self.frames += read_frames(path)
            except LeftOutError as reason:
                self.left_out[str(reason)].append(path.name)

    def all_notes(self) -> list[str]:
        notes = list(self.notes)
        damaged = self.left_out.get(_DAMAGED, [])
        if damaged:
            notes.append(f"Damaged DICOM files are left out: {_listed(damaged)}.")
        for kind in sorted(self.left_out.keys() - {_DAMAGED, _DIRECTORY}):
            notes.append(
                f"DICOM files that are no scan ({kind}) are left out: "
                f"{_listed(self.left_out[kind])}."
            )
        return notes


def list_series(path: str | os.PathLike[str]) -> tuple[Series, ...]:
    """Return the volumes in a folder or file of DICOM, scans first, the largest first.

    Parameters
    ----------
    path : path
        A folder, looked through with its subfolders for files of any name; or one DICOM file,
        of whose images the volumes are listed, with the other slices in its folder.

    Raises
    ------
    VolumeError
        If there are no DICOM images, or the path cannot be read.
    """
    chosen = _meant(Path(path).absolute())
    try:
        return tuple(series for series, _ in _volumes(chosen, _found(chosen)))
    except OSError as error:
        raise VolumeError(f"{path} cannot be read.", "Check the path.") from error


def read_dicom(path: Path, series: str | None = None) -> Volume:
    """Read a folder of DICOM slices, or the volume that a file is part of; see `read_volume`.

    Slices are ordered by where they lie, not by name or number. Tilted gantries give a sheared
    affine. Single missing slices are interpolated, and a note says so; slices at no regular
    distance are refused, and so are images that do not say where they lie or how large they are.
    """
    path = _meant(path)
    search = _found(path)
    folder = path if path.is_dir() else path.parent
    notes = search.all_notes() if path.is_dir() else list(search.notes)
    chosen, stack = _chosen(_volumes(path, search), series, path, notes)
    if stack.copies:
        names = [each.path.name for each in stack.copies]
        notes.append(f"Copies of slices are left out: {_listed(names)}.")
    grid = arrange(stack.frames, path.name)
    voxels, told = read_voxels(grid)
    files, modality = frozenset(stack.files), chosen.modality or None
    source = Source(path, "dicom", series=chosen.id, files=files, modality=modality)
    alone = len(files) == 1 and path in files
    name = _name_without_suffix(path) if alone else folder.name
    return Volume.from_array(
        voxels,
        ras_affine(grid.steps, grid.origin),
        name=f"{name} ({chosen.part})" if chosen.part else name,
        source=source,
        notes=[*notes, *grid.notes, *told],
    )


def grid_of(source: Source) -> Grid:
    """Return where the images of a volume lie that was read from DICOM before.

    Parameters
    ----------
    source : Source
        Of that volume; its files are still there.

    Raises
    ------
    VolumeError
        If the series isn't found any more.
    """
    assert source.path is not None
    _, stack = _chosen(_volumes(source.path, _found(source.path)), source.series, source.path, [])
    return arrange(stack.frames, source.path.name)


def _meant(path: Path) -> Path:
    """Return the folder that a DICOMDIR is the directory of; other paths as they are."""
    return path.parent if path.name.upper() == _DICOMDIR and path.is_file() else path


def _found(path: Path) -> _Search:
    search = _Search()
    if path.is_dir():
        search.look_into(_dicom_files(path, search.notes))
        if search.frames:
            return search
        refusal = " ".join(search.all_notes())
        raise VolumeError(
            f"{path} holds no DICOM images.{refusal and ' '}{refusal}",
            "Choose the folder that holds the slices.",
        )
    try:
        search.frames += read_frames(path)
    except LeftOutError as reason:
        problem, remedy = _REFUSALS.get(str(reason), _REFUSALS[_DAMAGED])
        raise VolumeError(problem.format(path.name), remedy) from reason
    beside = sorted(each for each in path.parent.iterdir() if each.is_file() and each != path)
    search.look_into(filter(begins_as_dicom, beside))
    return search


def _dicom_files(folder: Path, notes: list[str]) -> Iterator[Path]:
    """Yield the DICOM files in a folder and its subfolders; note the folders that are locked.

    Raises
    ------
    VolumeError
        If there are so many files that it can't be the folder of one patient.
    """

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        notes.append(f"A folder cannot be read and is left out: {Path(error.filename).name}.")

    count = 0
    for at, folders, names in os.walk(folder, onerror=unreadable):
        folders.sort()
        count += len(names)
        if count > _MOST_FILES:
            raise VolumeError(
                f"{folder} holds more than {_MOST_FILES} files.", "Choose the folder of one scan."
            )
        paths = (Path(at, name) for name in sorted(names) if name.upper() != _DICOMDIR)
        yield from filter(begins_as_dicom, paths)


def _volumes(path: Path, search: _Search) -> list[tuple[Series, Stack]]:
    stacks = sort_into_stacks(search.frames, same_values)
    if not path.is_dir():
        stacks = [each for each in stacks if path in each.files]
    # The volumes of a series keep their order; series of one size follow the names of their files.
    names: dict[str, str] = {}
    for each in stacks:
        uid, name = each.frames[0].header.series, min(map(str, each.files))
        names[uid] = min(name, names.get(uid, name))
    stacks.sort(key=lambda s: (not s.is_scan, -len(s.frames), names[s.frames[0].header.series]))
    total = Counter(each.frames[0].header.series for each in stacks)
    planes = {(each.frames[0].header.series, each.plane) for each in stacks}
    turned = Counter(uid for uid, _ in planes)
    so_far: Counter[str] = Counter()
    volumes: list[tuple[Series, Stack]] = []
    for number, stack in enumerate(stacks, 1):
        header = stack.frames[0].header
        so_far[header.series] += 1
        alone = header.series if total[header.series] == 1 else ""
        part = (stack.plane if turned[header.series] > 1 else "", stack.part)
        series = Series(
            alone or (f"{header.series}#{so_far[header.series]}" if header.series else str(number)),
            header.description,
            header.modality,
            (*header.size, len(stack.frames)),
            stack.files,
            ", ".join(each for each in part if each),
            stack.is_scan,
        )
        volumes.append((series, stack))
    return volumes


def _chosen(
    volumes: list[tuple[Series, Stack]], wanted: str | None, path: Path, notes: list[str]
) -> tuple[Series, Stack]:
    if wanted is not None:
        fitting = [each for each in volumes if each[0].id == wanted]
        if not fitting and wanted.isdecimal() and 0 < int(wanted) <= len(volumes):
            fitting = [volumes[int(wanted) - 1]]
        if len(fitting) == 1:
            return fitting[0]
    elif len(volumes) == 1:
        return volumes[0]
    elif sum(series.is_scan for series, _ in volumes) == 1:
        notes.append(
            "Single images, scouts and the like beside the scan are left out: "
            f"{_listed([str(series) for series, _ in volumes[1:]])}."
        )
        return volumes[0]
    choices = "; ".join(f"{n}: {series}" for n, (series, _) in enumerate(volumes, 1))
    missing = "" if wanted is None else f" and none that is {wanted!r}"
    raise VolumeError(
        f"{path.name} holds {len(volumes)} DICOM series or parts of one{missing} ({choices}).",
        f"Choose one: series='1' to series='{len(volumes)}' (--series on the command line).",
    )


def _name_without_suffix(path: Path) -> str:
    """Return a file's name; the end of a UID is no suffix."""
    return path.stem if path.suffix.isascii() and path.suffix[1:].isalpha() else path.name


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}"
