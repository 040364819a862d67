"""What goes through the scans of a batch: the same masks as `replay` and `auto` make."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_fastsam3d.errors import FastSAM3DError, explained
from napari_fastsam3d.serving.batch_scan import BatchModel, BatchRow, BatchScan, ObjectVolume

if TYPE_CHECKING:
    from napari_fastsam3d.session import ModelThread, Session
    from napari_fastsam3d.session.state import ObjectState


class BatchWorker:
    """Goes through scans with a model that stays loaded.

    Parameters
    ----------
    model : BatchModel
    """

    def __init__(self, model: BatchModel) -> None:
        self._model = model
        self._threads: dict[str, ModelThread] = {}

    def do(self, scan: BatchScan) -> BatchRow:
        """Make and save the masks of a scan, and record that; what fails is a row, too."""
        begun, work = time.monotonic(), ""
        try:
            work = scan.digest(self._model)
            volumes = self._replayed(scan, scan.prompts) if scan.prompts else self._found(scan)
            objects = sum(each.voxels > 0 for each in volumes)
            mask = scan.mask.name if volumes else ""
            voxels = sum(each.voxels for each in volumes)
            row = BatchRow(scan.name, "done", mask, objects, voxels, volumes=volumes, work=work)
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

    def _replayed(self, scan: BatchScan, prompts: Path) -> tuple[ObjectVolume, ...]:
        """Make the masks of a file of prompts, as `replay` does."""
        from napari_fastsam3d.geometry import read_volume
        from napari_fastsam3d.memory.bank import MemoryBank
        from napari_fastsam3d.session import Session, read_prompts

        found = read_prompts(prompts)
        volume = read_volume(scan.scan)
        found.check_scan(volume)
        memory = MemoryBank(self._model.bank) if found.recalled else None
        try:
            with Session(volume, self._thread(found.model), memory=memory) as session:
                session.load_prompts(prompts)
                session.save(scan.mask)
                return _volumes(session)
        finally:
            if memory is not None:
                memory.close()

    def _found(self, scan: BatchScan) -> tuple[ObjectVolume, ...]:
        """Make the masks of adapted structures, as `auto` does."""
        from napari_fastsam3d.geometry import read_volume
        from napari_fastsam3d.model.adapter_store import AdapterStore
        from napari_fastsam3d.session import Session

        store, volume = AdapterStore(self._model.adapters), read_volume(scan.scan)
        with Session(volume, self._thread(None), adapters=store) as session:
            session.segment_automatically(self._model.structures)
            session.wait()
            if session.state.objects:
                session.save(scan.mask)
            else:
                scan.mask.unlink(missing_ok=True)
            return _volumes(session)

    def _thread(self, named: str | None) -> ModelThread:
        """Return the thread of the model of a scan; another model takes the place of the last."""
        from napari_fastsam3d.session.model_place import model_thread

        name = self._model.name or named or "default"
        if name not in self._threads:
            self.close()
            self._threads[name] = model_thread(name, self._model.device)
        return self._threads[name]


def _volumes(session: Session) -> tuple[ObjectVolume, ...]:
    """Measure the objects of a session."""
    voxel_ml = session.volume.voxel_mm3 / 1000

    def volume(each: ObjectState) -> ObjectVolume:
        voxels = int(np.count_nonzero(session.region(each.id).voxels))
        return ObjectVolume(each.name, each.value, voxels, float(f"{voxels * voxel_ml:.6g}"))

    return tuple(map(volume, session.state.objects))
