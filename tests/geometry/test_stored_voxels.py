"""Voxels as they lie in files, against numpy's own reading of the same bytes."""

import bz2
import gzip
import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry.io import stored_voxels
from napari_fastsam3d.geometry.io.stored_voxels import StoredVoxels

SHAPE = (3, 4, 5)
TYPES = [f"{order}{kind}" for order in "<>" for kind in ("i1", "u2", "i4", "u8", "f4", "f8")]
PACKERS = {
    "raw": bytes,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "members": lambda raw: gzip.compress(raw[:7]) + gzip.compress(raw[7:]),
    "bzip2": bz2.compress,
}
few = settings(max_examples=25, deadline=None)


def numbers(dtype, seed=0) -> np.ndarray:
    """Voxels of a type in the order of a file, the first axis fastest."""
    kind = np.dtype(dtype)
    low = 0 if kind.kind == "u" else -100
    made = np.random.default_rng(seed).integers(low, 100, SHAPE).astype(kind)
    return np.asfortranarray(made)


def encoding_of(packer: str) -> str:
    return {"gzip": "zlib", "members": "zlib"}.get(packer, packer)


@pytest.fixture
def small_steps(monkeypatch):
    """Pieces and slabs of a few bytes, so that each loop goes round."""
    monkeypatch.setattr(stored_voxels, "_PIECE", 5)
    monkeypatch.setattr(stored_voxels, "_SLAB_BYTES", 50)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scale", [(None, 0.0), (2.5, -7.0)])
def test_mapped_and_read_voxels_are_those_of_numpy(tmp_path, small_steps, dtype, scale):
    voxels = numbers(dtype)
    path = tmp_path / "a.raw"
    path.write_bytes(b"start" + voxels.tobytes(order="F") + b"more")
    stored = StoredVoxels(SHAPE, np.dtype(dtype), *scale)
    assert stored.nbytes == voxels.nbytes
    slope, intercept = scale
    wanted = voxels if slope is None else voxels * slope + intercept
    stays = slope is None and np.dtype(dtype).str[1:] != "f8"
    for found in (stored.map(path, 5), stored.read(io.BytesIO(path.read_bytes()), 5)):
        assert found.shape == SHAPE
        assert found.dtype == (np.dtype(dtype).newbyteorder("=") if stays else np.float32)
        assert np.array_equal(found, wanted.astype(found.dtype))
        assert found.flags.f_contiguous
    mapped = stored.map(path, 5)
    assert isinstance(mapped, np.memmap) == (stays and np.dtype(dtype).isnative)


@pytest.mark.parametrize("start", [0, 1, 6])
def test_a_file_that_ends_too_early_is_told(tmp_path, small_steps, start):
    path = tmp_path / "a.raw"
    stored = StoredVoxels(SHAPE, np.dtype("<i2"))
    path.write_bytes(bytes(start + stored.nbytes))
    assert not stored.map(path, start).any()
    assert not stored.read(path.open("rb"), start).any()
    path.write_bytes(bytes(start + stored.nbytes - 1))
    with pytest.raises(EOFError, match="before its last voxel"):
        stored.map(path, start)
    with path.open("rb") as stream, pytest.raises(EOFError, match="before its last voxel"):
        stored.read(stream, start)
    with pytest.raises(EOFError, match="before its last voxel"):
        stored.read(io.BytesIO(b"abc"), 4)


@few
@given(st.sampled_from(sorted(PACKERS)), st.sampled_from([1, 2, 5]), st.integers(0, 9))
def test_voxels_in_several_packed_files_are_joined(tmp_path_factory, packer, count, skip):
    folder = tmp_path_factory.mktemp("parts")
    voxels = numbers("<i2", seed=skip)
    raw = voxels.tobytes(order="F")
    share = len(raw) // count
    parts = []
    for number in range(count):
        part = b"x" * skip + raw[number * share : (number + 1) * share]
        path = folder / f"{number}.raw"
        path.write_bytes(b"head" + PACKERS[packer](part))
        parts.append((path, 4))
    if packer == "raw":
        parts, skip = [(path, 4 + skip) for path, _ in parts], 0
    found = StoredVoxels(SHAPE, np.dtype("<i2")).of_files(parts, encoding_of(packer), skip)
    assert np.array_equal(found, voxels)


@pytest.mark.parametrize("packer", ["zlib", "gzip", "members", "bzip2"])
def test_small_pieces_unfold_to_the_same(tmp_path, small_steps, packer):
    voxels = numbers(">i4")
    path = tmp_path / "a"
    path.write_bytes(PACKERS[packer](voxels.tobytes(order="F")) + b"\0\0")
    stored = StoredVoxels(SHAPE, np.dtype(">i4"))
    assert np.array_equal(stored.of_files([(path, 0)], encoding_of(packer)), voxels)


@pytest.mark.parametrize("packer", ["zlib", "gzip", "members"])
@pytest.mark.parametrize("cut", [1, 3, 9])
def test_a_packed_file_cut_short_is_told_though_all_voxels_were_read(tmp_path, packer, cut):
    packed = PACKERS[packer](numbers("<i2").tobytes(order="F"))
    path = tmp_path / "a"
    path.write_bytes(packed[:-cut])
    with pytest.raises(EOFError):
        StoredVoxels(SHAPE, np.dtype("<i2")).of_files([(path, 0)], "zlib")


def test_a_checksum_that_is_wrong_is_told(tmp_path):
    path = tmp_path / "a"
    for packer in ("zlib", "gzip"):
        packed = bytearray(PACKERS[packer](numbers("<i2").tobytes(order="F")))
        packed[-1 if packer == "zlib" else -8] ^= 1
        path.write_bytes(packed)
        with pytest.raises(zlib.error):
            StoredVoxels(SHAPE, np.dtype("<i2")).of_files([(path, 0)], "zlib")


def test_one_of_several_files_too_short_or_too_long(tmp_path):
    """What a file has too much is left out; what it has too little is not taken from the next."""
    raw = numbers("<i2").tobytes(order="F")
    half = len(raw) // 2
    one, two = tmp_path / "1", tmp_path / "2"
    stored = StoredVoxels(SHAPE, np.dtype("<i2"))
    one.write_bytes(raw[:half] + b"much more")
    two.write_bytes(raw[half:])
    assert np.array_equal(stored.of_files([(one, 0), (two, 0)], "raw"), numbers("<i2"))
    one.write_bytes(raw[: half - 1])
    two.write_bytes(raw[half:] + b"x")
    with pytest.raises(EOFError):
        stored.of_files([(one, 0), (two, 0)], "raw")
    with pytest.raises(ValueError, match="7 data files can not share its voxels evenly"):
        stored.of_files([(one, 0)] * 7, "raw")


def test_numbers_as_text_are_parsed_whatever_stands_between_them(tmp_path):
    voxels = numbers("<i2")
    words = [str(each) for each in voxels.ravel(order="F")]
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("# " + " ".join(words[:20]))
    two.write_text("\n\t".join(words[20:]) + " 7 8 9")
    parts = [(one, 2), (two, 0)]
    found = StoredVoxels(SHAPE, np.dtype("=i2")).of_files(parts, "text")
    assert found.dtype == np.int16
    assert np.array_equal(found, voxels)
    scaled = StoredVoxels(SHAPE, np.dtype("=i2"), 0.5, 1.0).of_files(parts, "text")
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, voxels * 0.5 + 1)
    two.write_text(" ".join(words[20:-1]))
    with pytest.raises(EOFError):
        StoredVoxels(SHAPE, np.dtype("=i2")).of_files(parts, "text")
    two.write_text(" ".join([*words[20:-1], "x"]))
    with pytest.raises(ValueError, match="x"):
        StoredVoxels(SHAPE, np.dtype("=i2")).of_files(parts, "text")


@pytest.mark.parametrize(("length", "told"), [(120, False), (239, False), (240, True), (360, True)])
def test_data_twice_as_many_as_the_header_says_are_told(tmp_path, length, told):
    path = tmp_path / "a"
    path.write_bytes(bytes(10 + length))
    stored = StoredVoxels(SHAPE, np.dtype("<i2"))
    notes = stored.surplus([(path, 10)], "raw")
    assert len(notes) == told
    assert not told or f"are {length // 120} times" in notes[0]
    assert stored.surplus([(path, 0)], "zlib") == []


@pytest.mark.parametrize("scale", [(None, 0.0), (10.0, 1.0)])
def test_intensities_too_large_for_single_precision_become_infinite(tmp_path, scale):
    path = tmp_path / "a"
    raw = np.full(SHAPE, 1e300).tobytes()
    path.write_bytes(raw)
    stored = StoredVoxels(SHAPE, np.dtype("<f8"), *scale)
    with np.errstate(all="raise"):  # a user would see a warning of numpy's
        assert np.isinf(stored.map(path, 0)).all()
        assert np.isinf(stored.read(io.BytesIO(raw))).all()
        path.write_text("1e300 " * 60)
        assert np.isinf(stored.of_files([(path, 0)], "text")).all()


@pytest.mark.parametrize("word", ["300", "-1", "1.5", "nan", "inf", "1e30"])
def test_numbers_as_text_that_are_none_of_their_type_are_refused(tmp_path, word):
    path = tmp_path / "a"
    path.write_text("7 " * 59 + word)
    with np.errstate(all="raise"), pytest.raises(ValueError, match="none of type uint8"):
        StoredVoxels(SHAPE, np.dtype("u1")).of_files([(path, 0)], "text")
    path.write_text("7 " * 59 + "255.0")
    assert StoredVoxels(SHAPE, np.dtype("u1")).of_files([(path, 0)], "text").max() == 255
