"""One scan of a batch: its prompts, what is made of them, and how that is recorded."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from napari_fastsam3d.errors import DataError, FastSAM3DError, explained
from napari_fastsam3d.geometry.io.atomic_write import replacing
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
    prompts : Path
        The file of prompts that is replayed on it.
    mask : Path
        Where its masks go.
    """

    scan: Path
    prompts: Path
    mask: Path

    @property
    def name(self) -> str:
        """What it is called in the table: the name of the scan without its ending."""
        return scan_stem(self.scan.name)

    @property
    def record(self) -> Path:
        """What was recorded when it had been gone through."""
        return self.mask.parent / RECORDS / f"{self.name}.json"

    def digest(self, model: str | None) -> str:
        """Return what tells this piece of work from others: scan, prompts and model."""
        scan = self.scan.stat()
        said = [str(self.scan), scan.st_size, scan.st_mtime_ns, model]
        digest = hashlib.sha256(json.dumps(said).encode())
        digest.update(self.prompts.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class BatchRow:
    """A row of the table of a batch.

    Parameters
    ----------
    scan : str
    status : str
        "done" or "failed".
    mask : str
        File; empty where it failed.
    objects, voxels : int
        How many objects have voxels, and how many voxels belong to any.
    seconds : float
    error : str
        Why it failed.
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
    work: str = ""

    def write(self, path: Path) -> None:
        """Record the row, whole or not at all."""
        with replacing(path, ".json") as temporary:
            temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> BatchRow | None:
        """Return a row that was recorded; None if there is none."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
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
    """

    name: str | None = None
    device: str = "auto"
    bank: Path | None = None


def scans_of(folder: Path, prompts: Path, output: Path) -> list[BatchScan]:
    """Pair the scans of a folder with their prompts: `ct7.nii.gz` goes with `ct7.json`.

    Parameters
    ----------
    folder : Path
        Of scans; a folder in it is a DICOM series.
    prompts : Path
        Folder of files of prompts. Scans without any are left out.
    output : Path
        Folder of the masks.

    Raises
    ------
    DataError
        If a folder is missing, nothing fits, or prompts fit no scan or several.
    """
    for each in (folder, prompts):
        if not each.is_dir():
            raise DataError(f"There is no folder {each}.", "Check the path.")
    scans: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (
            path.is_dir() or path.name.lower().endswith(SCAN_SUFFIXES)
        ):
            continue
        stem = scan_stem(path.name)
        if stem in scans:
            raise DataError(
                f"{scans[stem].name} and {path.name} have one name.", "Rename one of them."
            )
        scans[stem] = path
    found = sorted(each for each in prompts.glob("*.json") if not each.name.startswith("."))
    lost = [each.name for each in found if each.stem not in scans]
    if lost or not found:
        what = f"No scan in {folder} goes with {lost[0]}." if lost else f"No prompts in {prompts}."
        raise DataError(what, "Name them alike: ct7.nii.gz and ct7.json.")
    return [BatchScan(scans[p.stem], p, output / f"{p.stem}.nii.gz") for p in found]


class BatchWorker:
    """Goes through scans with a model that stays loaded.

    Parameters
    ----------
    model : BatchModel
    """

    def __init__(self, model: BatchModel) -> None:
        from napari_fastsam3d.session import ModelThread

        self._model = model
        self._threads: dict[str, ModelThread] = {}

    def do(self, scan: BatchScan) -> BatchRow:
        """Make and save the masks of a scan, and record that; what fails is a row, too."""
        begun, work = time.monotonic(), ""
        try:
            work = scan.digest(self._model.name)
            objects, voxels = self._masks(scan)
            row = BatchRow(scan.name, "done", scan.mask.name, objects, voxels, work=work)
        except Exception as error:
            told = error if isinstance(error, FastSAM3DError) else explained(error, "Try again")
            row = BatchRow(scan.name, "failed", error=" ".join(str(told).split()), work=work)
        row = replace(row, seconds=round(time.monotonic() - begun, 3))
        row.write(scan.record)
        return row

    def close(self) -> None:
        """Let the model go."""
        for thread in self._threads.values():
            thread.close()
        self._threads.clear()

    def _masks(self, scan: BatchScan) -> tuple[int, int]:
        """Replay and save; return how many objects have voxels, and how many those are."""
        from napari_fastsam3d.geometry import read_volume
        from napari_fastsam3d.memory.bank import MemoryBank
        from napari_fastsam3d.session import Session, read_prompts

        found = read_prompts(scan.prompts)
        volume = read_volume(scan.scan)
        found.check_scan(volume)
        memory = MemoryBank(self._model.bank) if found.recalled else None
        try:
            with Session(volume, self._thread(found.model), memory=memory) as session:
                session.load_prompts(scan.prompts)
                session.save(scan.mask)
                masks = [session.mask(each.id) for each in session.state.objects]
        finally:
            if memory is not None:
                memory.close()
        counts = [int(np.count_nonzero(mask)) for mask in masks]
        return sum(count > 0 for count in counts), sum(counts)

    def _thread(self, named: str | None):
        """Return the thread of the model of a scan; another model takes the place of the last."""
        from napari_fastsam3d.session.model_place import model_thread

        name = self._model.name or named or "default"
        if name not in self._threads:
            self.close()
            self._threads[name] = model_thread(name, self._model.device)
        return self._threads[name]
