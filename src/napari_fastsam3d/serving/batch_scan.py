"""One scan of a batch: what is to be made of it, what was made, and how that is recorded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from napari_fastsam3d.errors import AdapterError, DataError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.geometry.source import SCAN_SUFFIXES, scan_stem

RECORDS = ".batch"
"""Folder in that of the masks in which each scan that was gone through has its record."""


@dataclass(frozen=True)
class BatchScan:
    """A scan, and what is to be done with it.

    Parameters
    ----------
    scan : Path
        A file, or the folder of a DICOM series.
    mask : Path
        Where its masks go.
    prompts : Path or None
        The file of prompts that is replayed on it; None where adapted structures are looked for.
    """

    scan: Path
    mask: Path
    prompts: Path | None = None

    @property
    def name(self) -> str:
        """What it is called in the table: the name of the scan without its ending."""
        return scan_stem(self.scan.name)

    @property
    def record(self) -> Path:
        """What was recorded when it had been gone through."""
        return self.mask.parent / RECORDS / f"{self.name}.json"

    def digest(self, model: BatchModel) -> str:
        """Return what tells this piece of work from others: scan, prompts or adapters, model."""
        scan = self.scan.stat()
        said = [str(self.scan), scan.st_size, scan.st_mtime_ns, model.name, *model.fitted]
        digest = hashlib.sha256(json.dumps(said).encode())
        digest.update(b"" if self.prompts is None else self.prompts.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ObjectVolume:
    """How large an object of a scan is.

    Parameters
    ----------
    object : str
    label : int
        Its value in the mask.
    voxels : int
    volume_ml : float
    """

    object: str
    label: int
    voxels: int
    volume_ml: float


@dataclass(frozen=True)
class BatchRow:
    """A row of the table of a batch.

    Parameters
    ----------
    scan : str
    status : str
        "done" or "failed".
    mask : str
        File; empty where it failed, or nothing was found.
    objects, voxels : int
        How many objects have voxels, and how many voxels belong to any.
    seconds : float
    error : str
        Why it failed.
    volumes : tuple of ObjectVolume
    work : str
        `BatchScan.digest`.
    """

    scan: str
    status: str
    mask: str = ""
    objects: int = 0
    voxels: int = 0
    seconds: float = 0.0
    error: str = ""
    volumes: tuple[ObjectVolume, ...] = ()
    work: str = ""

    def write(self, path: Path) -> None:
        """Record the row, whole or not at all."""
        with replacing(path, ".json") as temporary:
            temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> BatchRow | None:
        """Return a row that was recorded; None if there is none."""
        try:
            known = parse_json(path.read_text(encoding="utf-8"))
            volumes = tuple(ObjectVolume(**each) for each in known.pop("volumes"))
            return cls(**known, volumes=volumes)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True)
class BatchModel:
    """With what masks are made.

    Parameters
    ----------
    name : str or None
        A model's name, file or server; None for the one that each file of prompts names.
    device : str
    bank : Path or None
        Of the memory, where prompts recall; None for the user's own.
    structures : tuple of str or None
        What is looked for in scans without prompts; None for all that is adapted.
    adapters : Path or None
        Folder of the adapters; None for the user's own.
    fitted : tuple of str
        What tells the adapters from others that were fitted to the same structures.
    """

    name: str | None = None
    device: str = "auto"
    bank: Path | None = None
    structures: tuple[str, ...] | None = None
    adapters: Path | None = None
    fitted: tuple[str, ...] = ()

    def with_fitted(self) -> BatchModel:
        """Return it with what tells its adapters from others; AdapterError if one is missing."""
        from napari_fastsam3d.model.adapter_store import AdapterStore

        store = AdapterStore(self.adapters)
        names = store.structures() if self.structures is None else self.structures
        if not names:
            raise AdapterError("No structure is adapted.", "Fit one: napari-fastsam3d adapt NAME")
        return replace(self, fitted=tuple(store.get(name).identity for name in names))


def scans_of(folder: Path, prompts: Path | None, output: Path) -> list[BatchScan]:
    """List the scans of a folder, with their prompts: `ct7.nii.gz` goes with `ct7.json`.

    Parameters
    ----------
    folder : Path
        Of scans; a folder in it is a DICOM series.
    prompts : Path or None
        Folder of files of prompts. Scans without any are left out. None for all scans but
        label files, which end with `_seg`.
    output : Path
        Folder of the masks.

    Raises
    ------
    DataError
        If a folder is missing, nothing fits, or prompts fit no scan or several.
    """
    for each in (folder, prompts):
        if each is not None and not each.is_dir():
            raise DataError(f"There is no folder {each}.", "Check the path.")
    scans = _scans_by_name(folder)
    if prompts is None:
        wanted = {name: path for name, path in scans.items() if not name.endswith("_seg")}
        if not wanted:
            raise DataError(f"There is no scan in {folder}.", "Check the path.")
        return [BatchScan(path, output / f"{name}.nii.gz") for name, path in wanted.items()]
    found = sorted(each for each in prompts.glob("*.json") if not each.name.startswith("."))
    lost = [each.name for each in found if each.stem not in scans]
    if lost or not found:
        what = f"No scan in {folder} goes with {lost[0]}." if lost else f"No prompts in {prompts}."
        raise DataError(what, "Name them alike: ct7.nii.gz and ct7.json.")
    return [BatchScan(scans[p.stem], output / f"{p.stem}.nii.gz", p) for p in found]


def _scans_by_name(folder: Path) -> dict[str, Path]:
    """Return the scans of a folder by their names without endings; DataError for equal ones."""
    scans, taken = dict[str, Path](), dict[str, Path]()
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (
            path.is_dir() or path.name.lower().endswith(SCAN_SUFFIXES)
        ):
            continue
        name = scan_stem(path.name)
        # Some systems take names for one that differ in nothing but capitals.
        other = taken.setdefault(name.lower(), path)
        if other is not path:
            raise DataError(f"{other.name} and {path.name} have one name.", "Rename one of them.")
        scans[name] = path
    return scans
