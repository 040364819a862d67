"""A study at once: its scans as tasks of Ray, or one after the other in this process."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_fastsam3d.errors import DataError, SaveError
from napari_fastsam3d.geometry.io.atomic_write import write_csv
from napari_fastsam3d.serving.batch_scan import (
    RECORDS,
    BatchModel,
    BatchRow,
    BatchScan,
    ObjectVolume,
)
from napari_fastsam3d.serving.batch_worker import BatchWorker
from napari_fastsam3d.serving.cluster import Replicas, start_ray

TABLE, VOLUMES = "results.csv", "volumes.csv"
_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.")
_RETRIES = 3

Each = Callable[[BatchRow], object]


@contextmanager
def one_batch_in(output: Path) -> Generator[None]:
    """Keep a folder for one batch at a time, and clear what one that was killed left unfinished."""
    from filelock import FileLock, Timeout

    try:
        (output / RECORDS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"{output} can't be written to.", "Choose another folder.") from error
    lock = FileLock(output / RECORDS / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(
            f"Another batch writes to {output}.", "Wait for it, or choose another folder."
        ) from None
    try:
        for folder in (output, output / RECORDS):
            for left in folder.iterdir():
                if _UNFINISHED.match(left.name):
                    left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def left_to_do(scans: Sequence[BatchScan], model: BatchModel) -> list[BatchScan]:
    """Return the scans of which there is no mask yet of these prompts or adapters by this model."""

    def is_done(scan: BatchScan) -> bool:
        row = BatchRow.read(scan.record)
        if row is None or row.status != "done" or bool(row.mask) != scan.mask.is_file():
            return False
        return row.work == scan.digest(model)

    return [scan for scan in scans if not is_done(scan)]


def run_here(scans: Sequence[BatchScan], model: BatchModel, each: Each) -> None:
    """Go through scans in this process."""
    worker = BatchWorker(model)
    try:
        for scan in scans:
            each(worker.do(scan))
    finally:
        worker.close()


def run_on_ray(
    scans: Sequence[BatchScan],
    model: BatchModel,
    each: Each,
    workers: Replicas,
    address: str | None = None,
    **ray_options: Any,
) -> None:
    """Go through scans with workers of Ray, each with its model loaded; one scan is a task.

    A worker that dies is replaced, and its scan is begun again, up to three times.

    Parameters
    ----------
    scans : sequence of BatchScan
        Their paths are those of all machines of the cluster.
    model : BatchModel
    each : callable
        Told each row as it comes.
    workers : Replicas
        How many, and what each is given.
    address : str, optional
        Of a cluster; by default Ray is started here.
    ray_options
        For `ray.init` where Ray is started here.
    """
    started = start_ray(address, ray_options)
    import ray

    remote: Any = ray.remote(
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
        max_restarts=-1,
        max_task_retries=_RETRIES,
    )(BatchWorker)
    actors = [remote.remote(model) for _ in range(min(workers.most, len(scans)))]
    try:
        for row in _rows(actors, scans):
            each(row)
    finally:
        for actor in actors:
            ray.kill(actor)
        if started:
            ray.shutdown()


def write_tables(scans: Sequence[BatchScan], output: Path) -> list[BatchRow]:
    """Write what became of the scans that were gone through, and the volumes of their objects."""
    rows = [row for row in (BatchRow.read(scan.record) for scan in scans) if row is not None]
    columns = [name for name in asdict(BatchRow("", "")) if name not in ("volumes", "work")]
    write_csv(output / TABLE, columns, map(asdict, rows))
    volumes = [{"scan": row.scan, **asdict(each)} for row in rows for each in row.volumes]
    write_csv(output / VOLUMES, ["scan", *asdict(ObjectVolume("", 0, 0, 0.0))], volumes)
    return rows


def _rows(actors: Sequence[Any], scans: Sequence[BatchScan]) -> Iterator[BatchRow]:
    """Yield rows as they come; each worker is given its next scan when it is done with one."""
    import ray
    from ray.exceptions import RayError

    waiting = iter(scans)
    running: dict[Any, tuple[Any, BatchScan]] = {}

    def give(actor: Any) -> None:
        scan = next(waiting, None)
        if scan is not None:
            running[actor.do.remote(scan)] = (actor, scan)

    for actor in actors:
        give(actor)
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        actor, scan = running.pop(done)
        try:
            row: BatchRow = ray.get(done)
        except RayError as error:
            row = BatchRow(scan.name, "failed", error=f"Its worker died: {type(error).__name__}.")
            row.write(scan.record)
        give(actor)
        yield row
