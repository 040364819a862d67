"""Volumes on disk: what is sent in chunks comes back to the bit, resumed, checked, and let go."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.server_settings import Limits
from napari_fastsam3d.serving.volume_store import VolumeStore, sweep
from napari_fastsam3d.session.remote.chunks import ChunkGrid

DTYPES = ("<i2", "<u2", "|u1", "|i1", "<i4", "<f4", ">i2")
# Two planes of it are a chunk, so there are three, the last of one plane.
SHAPE = (7, 5, 5)


def scan(dtype: str = "<i2", seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Volume:
    values = np.random.default_rng(seed).integers(0, 120, shape).astype(dtype)
    return Volume.from_array(values, spacing=(0.7, 0.7, 3.0))


def grid_of(volume: Volume) -> ChunkGrid:
    i, j, _ = volume.shape
    return ChunkGrid.of(volume, 2 * i * j * volume.voxels.dtype.itemsize)


def header(volume: Volume) -> dict[str, Any]:
    grid = grid_of(volume)
    affine = volume.affine.tolist()
    return {"shape": list(grid.shape), "dtype": grid.dtype, "affine": affine, "planes": grid.planes}


def put(store: VolumeStore, volume: Volume, *chunks: int) -> None:
    grid = grid_of(volume)
    for chunk in chunks:
        store.put(volume.content_hash, chunk, grid.compress(grid.raw(volume, chunk)))


def refused(act: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as found:
        act()
    return found.value.status, found.value.kind


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    return VolumeStore(tmp_path / "volumes" / "anna", Limits())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_volume_comes_back_to_the_bit(store: VolumeStore, dtype: str):
    volume = scan(dtype)
    assert store.begin(volume.content_hash, header(volume)) == [0, 1, 2]
    put(store, volume, 2, 0, 1)
    store.complete(volume.content_hash)
    found = store.open(volume.content_hash)

    assert np.array_equal(found.voxels, volume.voxels)
    assert np.array_equal(found.affine, volume.affine)
    assert found.content_hash == volume.content_hash


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.tuples(*[st.integers(1, 6)] * 3), st.sampled_from(DTYPES), st.integers(1, 7), st.integers()
)
def test_chunks_tile_a_volume(shape: tuple[int, int, int], dtype: str, planes: int, seed: int):
    """Each chunk is what it was, and together they are the volume, the first axis fastest."""
    volume = scan(dtype, abs(seed), shape)
    grid = ChunkGrid(shape, volume.voxels.dtype.newbyteorder("<").str, planes)
    raw = [grid.raw(volume, chunk) for chunk in range(grid.count)]
    back = [grid.decompress(grid.compress(part), n) for n, part in enumerate(raw)]

    assert back == raw
    assert [grid.length(n) for n in range(grid.count)] == list(map(len, raw))
    whole = np.frombuffer(b"".join(raw), grid.dtype).reshape(shape, order="F")
    assert np.array_equal(whole, volume.voxels)


def test_another_process_goes_on_with_what_was_sent(store: VolumeStore, tmp_path: Path):
    volume = scan()
    digest = volume.content_hash
    store.begin(digest, header(volume))
    put(store, volume, 1)
    other = VolumeStore(tmp_path / "volumes" / "anna", Limits())

    assert other.begin(digest, header(volume)) == [0, 2]
    assert refused(lambda: other.complete(digest)) == (409, "chunks_missing")
    assert refused(lambda: other.open(digest)) == (404, "unknown_volume")
    put(other, volume, 0, 2)
    other.complete(digest)
    assert store.missing(digest) == []
    assert store.begin(digest, header(volume)) == []


def test_two_replicas_that_are_sent_the_same_agree(store: VolumeStore, tmp_path: Path):
    """All at once, chunks twice and both complete: whole, or to be asked again, never damaged."""
    volume = scan(shape=(7, 5, 40))
    digest = volume.content_hash
    other = VolumeStore(tmp_path / "volumes" / "anna", Limits())
    count = grid_of(volume).count
    for each in (store, other):
        each.begin(digest, header(volume))
    with ThreadPoolExecutor(4) as pool:
        sent = [
            pool.submit(put, each, volume, chunk)
            for chunk in range(count)
            for each in (store, other)
        ]
        for each in sent:
            each.result()
        done = [pool.submit(each.complete, digest) for each in (store, other)]
        for each in done:
            assert each.exception() is None or isinstance(each.exception(), Refusal)

    assert np.array_equal(other.open(digest).voxels, volume.voxels)
    store.complete(digest)
    put(store, volume, 0)
    assert np.array_equal(store.open(digest).voxels, volume.voxels)


def test_a_volume_of_another_name_goes(store: VolumeStore):
    """One chunk of another scan among its own: the digest tells, and nothing of it stays."""
    volume, other = scan(), scan(seed=1)
    store.begin(volume.content_hash, header(volume))
    put(store, volume, 0, 1)
    grid = grid_of(other)
    store.put(volume.content_hash, 2, grid.compress(grid.raw(other, 2)))

    assert refused(lambda: store.complete(volume.content_hash)) == (422, "damaged_volume")
    assert store.sizes() == {}


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_volume_without_a_place_in_space_goes(store: VolumeStore, scale: float):
    volume = scan()
    said = header(volume)
    said["affine"][0][0] = said["affine"][1][1] = scale
    store.begin(volume.content_hash, said)
    put(store, volume, 0, 1, 2)

    assert refused(lambda: store.complete(volume.content_hash)) == (422, "damaged_volume")


def test_what_is_begun_counts_as_kept(tmp_path: Path):
    """Otherwise a user could fill the disk with volumes that never become whole."""
    volume, other = scan(), scan(seed=1)
    nbytes = volume.voxels.nbytes
    small = VolumeStore(tmp_path, Limits(user_bytes=2 * nbytes - 1))
    small.begin(volume.content_hash, header(volume))

    assert small.sizes() == {volume.content_hash: nbytes}
    begin = lambda: small.begin(other.content_hash, header(other))  # noqa: E731
    assert refused(begin) == (507, "no_room")
    small.delete(volume.content_hash)
    assert begin() == [0, 1, 2]


def test_a_volume_that_the_server_read_is_kept_alike(store: VolumeStore):
    volume = scan()
    store.keep(volume.content_hash, volume)
    assert np.array_equal(store.open(volume.content_hash).voxels, volume.voxels)


@pytest.mark.parametrize("act", ["touch", "open", "complete"])
def test_what_is_not_there_is_told_alike(store: VolumeStore, act: str):
    assert refused(lambda: getattr(store, act)("0" * 64)) == (404, "unknown_volume")
    assert refused(lambda: store.put("0" * 64, 0, b"")) == (404, "unknown_volume")
    assert store.missing("0" * 64) is None
    store.delete("0" * 64)


def test_use_keeps_a_volume_and_disuse_lets_it_go(store: VolumeStore, tmp_path: Path):
    used, unused, begun = scan(), scan(seed=1), scan(seed=2)
    for volume in (used, unused):
        store.keep(volume.content_hash, volume)
    store.begin(begun.content_hash, header(begun))
    long_ago = time.time() - 1000
    for path in (tmp_path / "volumes").rglob("header.json"):
        os.utime(path, (long_ago, long_ago))
    store.touch(used.content_hash)
    put(store, begun, 0)

    assert sweep(tmp_path / "volumes", 500) == 1
    assert set(store.sizes()) == {used.content_hash, begun.content_hash}
    assert sweep(tmp_path / "nowhere", 500) == 0


def test_nobody_but_the_server_reads_the_files(store: VolumeStore, tmp_path: Path):
    volume = scan()
    store.begin(volume.content_hash, header(volume))
    for folder in (tmp_path / "volumes" / "anna").iterdir():
        assert folder.stat().st_mode & 0o077 == 0
        assert "anna" not in json.dumps(header(volume))
