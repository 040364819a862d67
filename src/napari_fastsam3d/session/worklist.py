"""A folder of scans as a list of cases: which are done, and where their masks go."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path, PurePath
from threading import Event, Lock
from time import monotonic
from typing import Any

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry import Volume, begins_as_dicom
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.geometry.io.segments import SEGMENTATION_SUFFIXES
from napari_fastsam3d.geometry.source import MASK_SUFFIXES, SUFFIXES, scan_stem
from napari_fastsam3d.inference.json_values import whole

PATTERN = "{case}_mask.nii.gz"
PROGRESS = "worklist.json"
_CASE = "{case}"
_VERSION = 1
_FILES = tuple(end for kind in ("nifti", "nrrd", "metaimage") for end in SUFFIXES[kind])
_FILES_LOOKED_AT = 20
_BATCH_S = 0.2
_NAMES = {str, type(None)}
_MASKS = (*SEGMENTATION_SUFFIXES, *MASK_SUFFIXES)


@dataclass(frozen=True)
class Case:
    """One scan of a worklist.

    Parameters
    ----------
    name : str
        Its path in the folder, as POSIX writes it, without the suffix unless another scan has the
        same without; what it is called and what ``{case}`` stands for.
    path : Path
        A file, or a folder of DICOM slices.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Progress:
    """What is known of the cases of a worklist, by their names.

    Parameters
    ----------
    done : frozenset of str
        The cases that are done.
    current : str or None
        The case that was worked on last.
    volumes : mapping of str to tuple
        Which volume of a scan that holds several was chosen: frame and series, as `read_volume`
        takes them.
    written : mapping of str to tuple of int
        Size in bytes and time of change, in ns, of the masks that were written.
    """

    done: frozenset[str] = frozenset()
    current: str | None = None
    volumes: Mapping[str, tuple[int | None, str | None]] = field(default_factory=dict)
    written: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Worklist:
    """A folder of scans, the folder of their masks, and what is done; any thread may use it.

    Parameters
    ----------
    folder : path
        Looked through with its subfolders.
    output : path, optional
        Where masks go, in the same subfolders; by default the folder of the scans. Progress is
        kept there too, in ``worklist.json``.
    pattern : str
        Name of a mask; ``{case}`` stands for the name of its scan.
    scans : str
        Which files are scans, as a shell would say it, such as ``*_img.nii.gz``.

    Raises
    ------
    SessionError
        If there is no such folder, no mask can have such a name, or what was kept of the progress
        can't be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        output: str | os.PathLike[str] | None = None,
        pattern: str = PATTERN,
        scans: str = "*",
    ) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.output = self.folder if output is None else Path(output).expanduser().absolute()
        self.pattern, self.scans = pattern, scans or "*"
        if not self.folder.is_dir():
            raise SessionError(f"There is no folder {self.folder}.", "Choose a folder of scans.")
        _check_pattern(pattern)
        self.progress = _read(self.output / PROGRESS)
        self._lock = Lock()

    def find(self) -> Iterator[Case]:
        """Look for the scans, in the order of their names; numbers in names count as such.

        A folder that holds DICOM slices is one case. What is a mask by the pattern is none.
        """
        for place, folders, files in os.walk(self.folder):
            here = Path(place)
            looked_into = [each for each in folders if self._is_looked_into(here / each)]
            folders[:] = sorted(looked_into, key=_natural)
            files = sorted((each for each in files if not each.startswith(".")), key=_natural)
            yield from self._cases(here, files, folders)

    def find_into(self, add: Callable[[list[Case]], object], stop: Event) -> None:
        """Look for the scans and hand them on a few at a time, until told to stop."""
        found: list[Case] = []
        told = monotonic()
        for case in self.find():
            if stop.is_set():
                return
            found.append(case)
            if monotonic() - told > _BATCH_S:
                add(found)
                found, told = [], monotonic()
        add(found)

    def target(self, case: Case) -> Path:
        """Return where the mask of a case goes."""
        name = PurePath(case.name)
        return self.output / name.parent / self.pattern.replace(_CASE, name.name)

    def may_write(self, case: Case) -> bool:
        """Whether the mask of a case can be written without replacing one that is not ours."""
        found = _stamp(self.target(case))
        return found is None or found == self.progress.written.get(case.name)

    def go_to(self, case: Case) -> None:
        """Note that a case is worked on."""
        with self._lock:
            self.progress = replace(self.progress, current=case.name)

    def mark(self, case: Case, done: bool = True) -> None:
        """Note that a case is done, or that it isn't."""
        with self._lock:
            known = self.progress.done
            marked = known | {case.name} if done else known - {case.name}
            self.progress = replace(self.progress, done=marked)

    def is_done(self, case: Case) -> bool:
        """Whether a case was marked as done."""
        return case.name in self.progress.done

    def choose(self, case: Case, volume: Volume) -> None:
        """Note which volume was chosen of a scan that holds several."""
        chosen = (volume.source.frame, volume.source.series)
        with self._lock:
            volumes = {**self.progress.volumes, case.name: chosen}
            self.progress = replace(self.progress, volumes=volumes)

    def note_written(self, case: Case) -> None:
        """Note that the mask of a case is now what was written or opened here."""
        stamp = _stamp(self.target(case))
        if stamp is not None:
            with self._lock:
                written = {**self.progress.written, case.name: stamp}
                self.progress = replace(self.progress, written=written)

    def next_open(self, cases: Iterable[Case]) -> Case | None:
        """Return the case to go on with: the one worked on last, else the first not done."""
        first = None
        for each in cases:
            if each.name == self.progress.current:
                return each
            if first is None and not self.is_done(each):
                first = each
        return first

    def save(self) -> None:
        """Keep the progress in the folder of the masks; SaveError if it can't be written."""
        path = self.output / PROGRESS
        kept = self.progress
        told = {
            "format": "napari-fastsam3d worklist",
            "version": _VERSION,
            "current": kept.current,
            "done": sorted(kept.done),
            "volumes": dict(kept.volumes),
            "written": dict(kept.written),
        }
        with replacing(path, ".json") as temporary:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(told, indent=1), encoding="utf-8")

    def _is_looked_into(self, folder: Path) -> bool:
        inside = folder == self.output and folder != self.folder
        return not folder.name.startswith(".") and not inside

    def _cases(self, here: Path, files: list[str], folders: list[str]) -> Iterator[Case]:
        inside = here.relative_to(self.folder)
        scans = [each for each in files if each.lower().endswith(_FILES)]
        stems = {each: scan_stem(each) for each in scans}
        # Some systems take names for one that differ in nothing but capitals.
        often = Counter(stem.lower() for stem in stems.values())
        for each in (folder for folder in folders if folder.lower() in often):
            often[each.lower()] += _is_series(here / each, os.listdir(here / each))
        names = {each: each if often[stem.lower()] > 1 else stem for each, stem in stems.items()}
        masks = {self.pattern.replace(_CASE, name) for name in (*names.values(), *folders)}
        for each in scans:
            known = each in masks or each.lower().endswith(SEGMENTATION_SUFFIXES)
            if not known and fnmatch(each, self.scans):
                yield Case((inside / names[each]).as_posix(), here / each)
        if _is_series(here, files):
            name = inside if inside.parts else Path(here.name)
            if self.scans == "*" or fnmatch(name.name, self.scans):
                yield Case(name.as_posix(), here)


def _is_series(folder: Path, files: Iterable[str]) -> bool:
    """Whether a folder holds slices of DICOM, by the first of these files of it."""
    others = (
        folder / each
        for each in sorted(files, key=_natural)
        if not (each.startswith(".") or each.lower().endswith(_FILES) or each == PROGRESS)
    )
    return any(map(begins_as_dicom, islice(others, _FILES_LOOKED_AT)))


def _check_pattern(pattern: str) -> None:
    if _CASE not in pattern or not pattern.lower().endswith(_MASKS):
        raise SessionError(
            f"{pattern!r} names no mask.",
            f"Write {_CASE} in it, and end it with one of {', '.join(_MASKS)}, as in {PATTERN}.",
        )
    if len(PurePath(pattern).parts) > 1:
        raise SessionError(
            f"{pattern!r} is a path.", "Give a name, and choose the folder of the masks instead."
        )


def _read(path: Path) -> Progress:
    """Read what was kept; nothing where there is nothing yet."""
    try:
        told = parse_json(path.read_text(encoding="utf-8"))
        if told["version"] > _VERSION:
            raise SessionError(f"{path} was written by a newer version.", "Update this program.")
        done, current = told["done"], told["current"]
        if not isinstance(done, list) or not all(isinstance(each, str) for each in done):
            raise TypeError
        if type(current) not in _NAMES:
            raise TypeError
        return Progress(
            frozenset(done),
            current,
            {name: _chosen(*chosen) for name, chosen in told["volumes"].items()},
            {name: (whole(size), whole(at)) for name, (size, at) in told["written"].items()},
        )
    except FileNotFoundError:
        return Progress()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SessionError(
            f"{path} can't be read, or is damaged.",
            "Move it away to begin the list anew; masks and earlier sessions are not touched.",
        ) from error


def _chosen(frame: Any, series: Any) -> tuple[int | None, str | None]:
    """Check the frame and the series of a volume; TypeError if they are none."""
    if type(series) not in _NAMES:
        raise TypeError
    return None if frame is None else whole(frame), series


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which case2 comes before case10."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
