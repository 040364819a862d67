"""A batch gives the masks of a replay; killed anywhere it goes on; what fails is in the table."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from ball_and_slab import BALL, ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import DataError
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.serving import batch
from napari_fastsam3d.serving.batch_scan import BatchModel, BatchRow, scans_of
from napari_fastsam3d.serving.batch_worker import BatchWorker
from napari_fastsam3d.session import ModelThread, Session


class ToyWorker(BatchWorker):
    """Works with the toy model."""

    def _thread(self, named):
        if "toy" not in self._threads:
            self._threads["toy"] = ModelThread(BrightnessModel())
        return self._threads["toy"]


class PyramidWorker(BatchWorker):
    """Works with a small network, for structures that it was adapted to."""

    def _thread(self, named):
        from small_pyramid import small_pyramid

        if "small" not in self._threads:
            self._threads["small"] = ModelThread(small_pyramid())
        return self._threads["small"]


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setattr(batch, "BatchWorker", ToyWorker)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path, 4)


def make_study(home: Path, number: int) -> Path:
    """Scans that differ, with prompts and the masks that they made."""
    for name in ("scans", "prompts", "expected"):
        (home / name).mkdir()
    volume = ball_and_slab()
    for n in range(number):
        path = home / "scans" / f"ct{n}.nii.gz"
        voxels = np.roll(np.asarray(volume.voxels), n, axis=2)
        nib.save(nib.Nifti1Image(voxels, volume.affine), path)
        with Session(read_volume(path), BrightnessModel()) as session:
            session.add_point((BALL[0], BALL[1], (BALL[2] + n) % 40))
            session.save(home / "expected" / f"ct{n}.nii.gz")
            session.save_prompts(home / "prompts" / f"ct{n}.json")
    return home


def run(home: Path, each=lambda row: None) -> list[BatchRow]:
    output, model = home / "masks", BatchModel()
    scans = scans_of(home / "scans", home / "prompts", output)
    with batch.one_batch_in(output):
        batch.run_here(batch.left_to_do(scans, model), model, each)
        return batch.write_tables(scans, output)


def check(home: Path, number: int) -> None:
    for n in range(number):
        made, expected = (nib.load(home / f / f"ct{n}.nii.gz") for f in ("masks", "expected"))
        assert np.array_equal(made.get_fdata(), expected.get_fdata())
    names = {path.name for path in (home / "masks").iterdir()}
    tables = {".batch", "results.csv", "volumes.csv"}
    assert names == {f"ct{n}.nii.gz" for n in range(number)} | tables


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_masks_are_those_of_the_sessions(study: Path):
    rows = run(study)

    check(study, 4)
    assert [row.status for row in rows] == ["done"] * 4
    results, volumes = (table(study / "masks", name) for name in ("results", "volumes"))
    assert [row["objects"] for row in results] == ["1"] * 4
    for n, row in enumerate(volumes):
        voxels = np.count_nonzero(nib.load(study / "masks" / f"ct{n}.nii.gz").get_fdata())
        assert (row["scan"], row["label"], int(row["voxels"])) == (f"ct{n}", "1", voxels)
        assert float(row["volume_ml"]) == pytest.approx(voxels * 8 / 1000, rel=1e-5)


def test_what_is_done_is_not_done_again(study: Path):
    seen: list[str] = []

    def stop(row: BatchRow) -> None:
        seen.append(row.scan)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study, stop)
    (study / "masks" / f".{'0' * 32}.nii.gz").write_bytes(b"half a ma")
    run(study, lambda row: seen.append(row.scan))
    assert seen == ["ct0", "ct1", "ct2", "ct3"]
    check(study, 4)
    run(study, lambda row: seen.append(row.scan))
    (study / "masks" / "ct1.nii.gz").unlink()
    prompts = study / "prompts" / "ct2.json"
    prompts.write_text(prompts.read_text() + "\n")
    run(study, lambda row: seen.append(row.scan))

    assert seen[4:] == ["ct1", "ct2"]


def test_a_scan_that_fails_stops_no_other(study: Path):
    (study / "scans" / "ct1.nii.gz").write_bytes(b"no scan")
    (study / "prompts" / "ct2.json").write_text((study / "prompts" / "ct3.json").read_text())
    rows = run(study)

    assert [row.status for row in rows] == ["done", "failed", "failed", "done"]
    assert "another scan" in rows[2].error
    assert not (study / "masks" / "ct1.nii.gz").exists()


def test_pairs_are_never_guessed(study: Path):
    def found():
        return scans_of(study / "scans", study / "prompts", study / "masks")

    (study / "prompts" / "ct9.json").write_text("{}")
    with pytest.raises(DataError, match=r"goes with ct9\.json"):
        found()
    (study / "prompts" / "ct9.json").unlink()
    (study / "scans" / "ct1.nrrd").write_bytes(b"")
    with pytest.raises(DataError, match="one name"):
        found()


def test_one_batch_at_a_time(tmp_path: Path):
    with (
        batch.one_batch_in(tmp_path),
        pytest.raises(DataError, match="Another batch"),
        batch.one_batch_in(tmp_path),
    ):
        pass


def test_a_killed_batch_goes_on(study: Path):
    """SIGKILL of the whole process as soon as the first mask is there."""
    program = "import sys; from pathlib import Path; import test_batch as t; "
    program += "t.batch.BatchWorker = t.ToyWorker; t.run(Path(sys.argv[1]))"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(study)], env={**os.environ, "PYTHONPATH": path}
    )
    first = study / "masks" / "ct0.nii.gz"
    while not first.exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert first.exists()
    run(study)

    check(study, 4)
