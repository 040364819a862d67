"""Entries of the catalogue, networks loaded to learn from, and what fills up fixed shapes."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from small_pyramid import small_pyramid

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model import import_model, registry
from napari_fastsam3d.model.checkpoint import save_pyramid
from napari_fastsam3d.model.cuda_graph import filled, note_without
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.default.predictor import surest_place
from napari_fastsam3d.model.load import load_network
from napari_fastsam3d.model.registry import ModelCard, ModelEntry
from napari_fastsam3d.model.sam_med3d.checkpoint_file import read_published
from napari_fastsam3d.model.sam_med3d.checkpoint_keys import published_tensors
from napari_fastsam3d.model.store import Record

BUNDLED = ModelCard("ours", "Ours.", "Apache-2.0")
ONLINE = ModelCard("theirs", "Theirs.", "CC-BY", "https://a.b", "sam-med3d", "https://a.b/c", 12)
RECORD = Record("theirs", "sam-med3d", "0" * 64, 345, "MIT", "the file x", "imported")


@pytest.mark.parametrize(
    ("card", "record", "state", "fetched", "size", "licence", "origin", "summary"),
    [
        (BUNDLED, None, "part of the package", False, None, "Apache-2.0", BUNDLED.origin, "Ours."),
        (ONLINE, None, "can be fetched", True, 12_000_000, "CC-BY", "https://a.b", "Theirs."),
        (ONLINE, RECORD, "on this machine", False, 345, "MIT", "the file x", "Theirs."),
        (None, RECORD, "on this machine", False, 345, "MIT", "the file x", ""),
        (None, None, "part of the package", False, None, "", "", ""),
        (
            replace(ONLINE, megabytes=None),
            None,
            "can be fetched",
            True,
            None,
            "CC-BY",
            ONLINE.origin,
            "Theirs.",
        ),
    ],
)
def test_an_entry_tells_of_the_record_where_there_is_one_and_else_of_the_card(
    card, record, state, fetched, size, licence, origin, summary
):
    entry = ModelEntry("x", card, record)
    assert entry.state == state
    assert entry.can_be_fetched == fetched
    assert entry.size == size
    assert (entry.licence, entry.origin, entry.summary) == (licence, origin, summary)


@pytest.mark.parametrize(
    ("size", "told"),
    [(None, "size unknown"), (0, "0 MB"), (1_499_999, "1 MB"), (638_000_000, "638 MB")],
)
def test_sizes_are_told_in_megabytes(size, told):
    assert registry.megabytes(size) == told


@pytest.mark.parametrize(
    ("precision", "bundled", "told"),
    [(torch.float32, True, True), (torch.bfloat16, True, False), (torch.float32, False, False)],
)
def test_the_lite_model_is_recommended_where_it_is_there_and_bfloat16_is_not(
    monkeypatch, precision, bundled, told
):
    monkeypatch.setattr(registry, "choose_precision", lambda name, device: precision)
    monkeypatch.setattr(registry, "is_bundled", lambda name: bundled)
    found = registry.faster_here()
    assert (found is not None) == told
    assert found is None or "the model lite" in found


def test_a_network_is_loaded_to_learn_from_by_its_file_or_its_name(tmp_path: Path, student_file):
    small = small_pyramid().network
    path = tmp_path / "small.safetensors"
    save_pyramid(small, path)
    found = load_network(path)
    assert isinstance(found, PyramidNetwork)
    assert found.config == small.config
    import_model(student_file, name="student")
    theirs = read_published(student_file).tensors
    for name in ("student", student_file, str(student_file)):
        loaded = published_tensors(load_network(name))
        assert loaded.keys() == theirs.keys()
        assert all(torch.equal(loaded[key], theirs[key]) for key in theirs)
    for name, told in (("none", "no such file"), ("sam-med3d", "not on this machine yet")):
        with pytest.raises(CheckpointError, match=told):
            load_network(name)


@given(st.integers(0, 5), st.integers(0, 4), st.sampled_from([-1, -2]))
def test_points_are_filled_up_behind_the_ones_that_are_there(count, more, filler):
    points = torch.arange(3.0 * count).view(1, count, 3)
    labels = torch.arange(count)[None] % 2
    places, told = filled(points, labels, count + more, filler)
    assert places.shape == (1, count + more, 3)
    assert torch.equal(places[:, :count], points)
    assert not places[:, count:].any()
    assert told[0].tolist() == [*labels[0].tolist(), *more * [filler]]


def test_why_there_are_no_graphs_is_one_sentence():
    error = RuntimeError("CUDA error: operation not permitted.\nCompile with TORCH_USE_CUDA_DSA.")
    assert note_without(error) == (
        "CUDA graphs cannot be used here (CUDA error: operation not permitted); kernels are "
        "launched singly."
    )


corners = st.tuples(*[st.integers(-3, 34)] * 3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), corners, corners)
def test_the_surest_place_is_the_middle_of_the_window_with_most_in_the_box(seed, one, other):
    """Of 32^3 voxels in cells of four, over windows of five cells, what is beyond mirrored."""
    box = np.array([np.minimum(one, other), np.maximum(one, other)], np.float32)
    logits = np.random.default_rng(seed).normal(0, 2, (8, 8, 8)).astype(np.float32)
    held = np.zeros((8, 8, 8))
    for cell in product(range(8), repeat=3):
        centre = np.array(cell) * 4 + 1.5
        held[cell] = ((centre >= box[0]) & (centre <= box[1])).all()
    found = surest_place(logits, box, 32)
    if not held.any():
        np.testing.assert_allclose(found, box.mean(axis=0))
        return
    padded = np.pad(held * expit(logits.astype(np.float64)), 2, mode="symmetric")
    sums = np.zeros((8, 8, 8))
    for i, j, k in product(range(5), repeat=3):
        sums += padded[i : i + 8, j : j + 8, k : k + 8]
    cell = tuple(((found - 1.5) / 4).astype(int))
    assert sums[cell] == pytest.approx(sums.max(), rel=1e-5)
