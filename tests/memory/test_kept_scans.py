"""Parts of scans that the user agreed to keep: whole, private, and gone with their cases."""

import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remembered import remembered
from scipy import ndimage
from small_pyramid import ball_scan

from napari_fastsam3d import cli
from napari_fastsam3d.errors import MemoryBankError, SaveError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.scan_part import kept_scan
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.kept_scan import KeptScan, KeptScans, ScanPart

few = settings(max_examples=20)


def part(seed: int = 0, shape: tuple[int, int, int] = (5, 4, 3)) -> ScanPart:
    rng = np.random.default_rng(seed)
    voxels = rng.normal(0, 300, shape).astype(np.float16)
    return ScanPart(voxels, rng.random(shape) < 0.4, 1.5)


def kept(seed: int = 0, far: bool = True) -> KeptScan:
    return KeptScan(part(seed), part(seed + 1, (3, 3, 7)) if far else None)


DATA = kept().to_bytes()


def assert_same(one: ScanPart, other: ScanPart) -> None:
    np.testing.assert_array_equal(one.voxels, other.voxels)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert one.spacing == other.spacing
    assert one.voxels.dtype == other.voxels.dtype == np.float16


@few
@given(st.integers(0, 99), st.tuples(*3 * [st.integers(1, 9)]), st.booleans())
def test_what_is_kept_comes_back(seed, shape, far):
    scan = KeptScan(part(seed, shape), part(seed + 1) if far else None)
    again = KeptScan.of_bytes(scan.to_bytes())
    assert_same(again.near, scan.near)
    assert (again.far is None) == (not far)
    if again.far is not None:
        assert_same(again.far, scan.far)
    volume, mask = again.near.read()
    np.testing.assert_array_equal(volume.voxels, scan.near.voxels)
    np.testing.assert_array_equal(mask.volume(volume.shape), scan.near.mask)
    assert volume.spacing == (1.5, 1.5, 1.5)
    np.testing.assert_array_equal(volume.affine[:3, :3], 1.5 * np.eye(3))


def test_it_is_an_archive_that_numpy_reads_without_pickles():
    with np.load(io.BytesIO(DATA), allow_pickle=False) as arrays:
        assert sorted(arrays) == [
            *("far_mask", "far_spacing", "far_voxels"),
            *("near_mask", "near_spacing", "near_voxels"),
        ]
        mask = np.unpackbits(arrays["near_mask"], count=60).reshape(5, 4, 3)
    np.testing.assert_array_equal(mask, kept().near.mask)


def changed(**arrays: object) -> bytes:
    with np.load(io.BytesIO(DATA)) as stored:
        told = {**stored, **arrays}
    out = io.BytesIO()
    np.savez(out, **{name: np.asarray(v) for name, v in told.items() if v is not None})
    return out.getvalue()


@pytest.mark.parametrize(
    "arrays",
    [
        {"near_voxels": None},
        {"near_mask": None},
        {"near_spacing": None},
        {"near_voxels": np.zeros((5, 4, 3), np.float32)},
        {"near_voxels": np.zeros((5, 12), np.float16)},
        {"near_voxels": np.zeros((0, 4, 3), np.float16)},
        {"near_mask": np.zeros(7, np.uint8)},
        {"near_mask": np.zeros(8, np.float32)},
        {"far_mask": np.zeros(3, np.uint8)},
        *[{"near_spacing": value} for value in (0.0, -1.0, np.nan, np.inf, [1.0, 2.0], "fine")],
    ],
    ids=lambda each: "-".join(f"{k}={np.shape(v)}" for k, v in each.items()),
)
def test_arrays_that_do_not_belong_together_are_refused(arrays):
    with pytest.raises(ValueError):  # noqa: PT011 - numpy names what doesn't fit in its own words
        KeptScan.of_bytes(changed(**arrays))


def no_archive() -> dict[str, bytes]:
    array, pickled, locked = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(3))
    np.savez(pickled, near_voxels=np.array([{}], dtype=object))
    with zipfile.ZipFile(locked, "w") as archive:
        archive.writestr("near_voxels.npy", b"words")
    return {
        "empty": b"",
        "text": b"near",
        "array": array.getvalue(),
        "pickle": pickled.getvalue(),
        "words": locked.getvalue(),
        "half": DATA[: len(DATA) // 2],
    }


@pytest.mark.parametrize("data", no_archive().values(), ids=no_archive().keys())
def test_what_is_no_part_of_a_scan_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        KeptScan.of_bytes(data)


@settings(max_examples=60)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_one_changed_byte_is_told_or_harmless(where, change):
    data = bytearray(DATA)
    data[where] ^= change
    try:
        found = KeptScan.of_bytes(bytes(data))
    except ValueError:
        return
    assert_same(found.near, kept().near)


def test_nothing_is_kept_before_the_user_agreed_and_what_is_kept_stays_when_they_stop(tmp_path):
    scans = KeptScans(tmp_path / "bank" / "scans")
    assert not scans.agreed
    assert scans.size == 0
    scans.agree(False)
    assert not scans.folder.exists(), "asking makes nothing"
    scans.agree(True)
    assert KeptScans(scans.folder).agreed
    scans.put("a" * 32, kept())
    scans.agree(False)
    assert not scans.agreed
    assert scans.has("a" * 32)
    assert scans.size == len(DATA)
    assert stat.S_IMODE(scans.folder.stat().st_mode) == 0o700, "nobody else may look into it"


def test_parts_are_replaced_whole_and_removed(tmp_path):
    scans = KeptScans(tmp_path)
    for identity in ("one", "two", "three"):
        scans.put(identity, kept())
    scans.put("one", kept(far=False))
    assert scans.get("one").far is None
    scans.remove(["one", "never"])
    assert not scans.has("one")
    assert scans.identities() == {"two", "three"}
    assert_same(scans.get("three").near, kept().near)
    (tmp_path / ".half.npz").write_bytes(b"of a process that was killed")
    assert scans.identities() == {"two", "three"}
    scans.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_gone_or_damaged_is_one_error(tmp_path):
    scans = KeptScans(tmp_path)
    with pytest.raises(MemoryBankError, match=r"kept for abcdefgh can't be read.*Forget that case"):
        scans.get("abcdefgh" * 4)
    (tmp_path / "one.npz").write_bytes(DATA[:-40])
    with pytest.raises(MemoryBankError, match="can't be read"):
        scans.get("one")


def test_a_full_disk_leaves_the_part_of_before(tmp_path, monkeypatch):
    scans = KeptScans(tmp_path)
    scans.put("one", kept())

    def full(self: Path, data: bytes) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(SaveError, match="No space"):
            scans.put("one", kept(seed=9))
    assert_same(scans.get("one").near, kept().near)
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]


def test_a_part_goes_with_its_case_however_that_goes(tmp_path):
    cases = [remembered("liver", seed) for seed in range(4)]
    with MemoryBank(tmp_path) as bank:
        for case in cases:
            bank.add(case)
            bank.scans.put(case.entry.id, kept())
        bank.forget(cases[0].entry.id)
        assert [bank.scans.has(case.entry.id) for case in cases] == [False, True, True, True]
    (tmp_path / "shards" / f"{cases[1].entry.id}.safetensors").unlink()
    with MemoryBank(tmp_path) as bank:
        assert len(bank.list()) == 2
        assert [bank.scans.has(case.entry.id) for case in cases] == [False, False, True, True]
        size = bank.list()[0].size
    with MemoryBank(tmp_path, limit=2 * size + 10) as bank:
        (gone,) = bank.add(remembered("liver", 7))
        assert gone.id == cases[2].entry.id
        assert not bank.scans.has(gone.id)
        assert bank.scans.has(cases[3].entry.id)


def test_a_lost_index_loses_no_part(tmp_path):
    case = remembered()
    with MemoryBank(tmp_path) as bank:
        bank.add(case)
        bank.scans.put(case.entry.id, kept())
    (tmp_path / "index.sqlite").write_bytes(b"torn")
    with MemoryBank(tmp_path) as bank:
        assert bank.scans.has(case.entry.id)


def test_the_command_says_and_changes_what_is_kept(tmp_path, capsys):
    def run(*words: str) -> str:
        assert cli.run(["memory", "keep-scans", *words, "--bank", str(tmp_path)]) == 0
        return capsys.readouterr().out

    case = remembered()
    with MemoryBank(tmp_path) as bank:
        bank.add(case)
    run("on")
    with MemoryBank(tmp_path) as bank:
        assert bank.scans.agreed
        bank.scans.put(case.entry.id, kept())
    assert f"are not kept from now on; {len(DATA) / 1e6:.1f} MB" in run("off")
    with MemoryBank(tmp_path) as bank:
        assert not bank.scans.agreed
        assert bank.scans.has(case.entry.id)
    run("forget")
    with MemoryBank(tmp_path) as bank:
        assert bank.scans.identities() == set()
        assert len(bank.list()) == 1
    assert cli.run(["memory", "keep-scans", "maybe", "--bank", str(tmp_path)]) == 2


class Model:
    """What a crop policy asks of a model."""

    crop_size, spacings, start_spacing, margin = 32, (1.0, 2.0, 4.0), 2.0, 0
    accepts_boxes, sees_from_afar = True, False


def test_a_part_shows_the_structure_as_large_and_as_bright_as_it_is():
    volume, mask = ball_scan(5, edge=80)
    scan = kept_scan(volume, mask, CropPolicy.of(volume, Model()))
    wanted = np.count_nonzero(mask.voxels) * volume.voxel_mm3
    for seen in (scan.near, scan.far):
        got, own = seen.read()
        assert np.count_nonzero(own.voxels) * got.voxel_mm3 == pytest.approx(wanted, rel=0.15)
        assert max(seen.voxels.shape) <= Model.crop_size
    assert scan.far.spacing > scan.near.spacing
    # At its border a structure is mixed with what is around it.
    inside = scan.near.voxels[ndimage.binary_erosion(scan.near.mask, iterations=2)].mean()
    assert inside == pytest.approx(volume.voxels[mask.volume(volume.shape)].mean(), abs=10)


def test_no_part_from_afar_where_the_near_one_shows_all():
    class Large(Model):
        crop_size = 64

    volume, mask = ball_scan(5, edge=20)
    assert kept_scan(volume, mask, CropPolicy.of(volume, Large())).far is None


def test_intensities_beyond_half_precision_stay_finite():
    voxels = np.zeros((20, 20, 20), np.float32)
    voxels[8:12, 8:12, 8:12] = 1e6
    volume = Volume.from_array(voxels, spacing=(2.0, 2.0, 2.0))
    scan = kept_scan(volume, Mask.of_volume(voxels > 0), CropPolicy.of(volume, Model()))
    assert np.isfinite(scan.near.voxels).all()
    assert scan.near.voxels.max() == np.finfo(np.float16).max
