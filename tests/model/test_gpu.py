"""The GPU's way, where there is one: graphs against single kernels, half precision against all."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_fastsam3d.model.published import PublishedNetwork
from napari_fastsam3d.model.published_predictor import PublishedPredictor
from napari_fastsam3d.model.published_runner import EagerRunner, GraphRunner
from napari_fastsam3d.model.staging import Staging

Make = Callable[..., PublishedNetwork]
CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


def crop(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(60, 40, (128, 128, 128)).astype(np.float32)


INSIDE = tuple(np.ones(128, bool) for _ in range(3))
POINTS = np.array([[60, 64, 70], [30, 90, 20], [5, 9, 99]], np.float32)


def clicked(predictor: PublishedPredictor, counts: tuple[int, ...] = (1, 1, 3)) -> list[np.ndarray]:
    encoded = predictor.encode(predictor.normalise(crop(), INSIDE))
    previous, masks = None, []
    for count in counts:
        answer = predictor.segment(encoded, POINTS[:count], np.ones(count, int), None, previous)
        previous = answer.low
        masks.append(answer.low)
    return masks


def test_staging_on_a_cpu_is_no_copy():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    staging = Staging(CPU)

    tensor = staging.bring(array)
    (back,) = staging.fetch(tensor)

    assert np.shares_memory(tensor.numpy(), array)
    assert np.array_equal(back, array)


@needs_gpu
def test_staging_survives_a_buffer_in_use():
    staging = Staging(torch.device("cuda"))
    arrays = [np.full((64, 64, 64), n, np.float32) for n in range(20)]

    tensors = [staging.bring(array) for array in arrays]

    for array, back in zip(arrays, staging.fetch(*tensors), strict=True):
        assert np.array_equal(array, back)


@needs_gpu
@pytest.mark.parametrize("mixing", [("none", "global"), ("padded", "global"), ("none", "grouped")])
def test_graphs_give_what_single_kernels_give(small_network: Make, mixing):
    device = torch.device("cuda")
    graphs = PublishedPredictor(small_network(mixing), "small", device, torch.float32, "0")
    eager = PublishedPredictor(small_network(mixing), "small", device, torch.float32, "0")
    eager._runner = EagerRunner(eager.network)

    assert isinstance(graphs._runner, GraphRunner), graphs.notes
    for ours, theirs in zip(clicked(graphs), clicked(eager), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@needs_gpu
def test_replays_do_not_overwrite_each_other(small_network: Make):
    device = torch.device("cuda")
    predictor = PublishedPredictor(small_network(), "small", device, torch.float32, "0")

    first = predictor.encode(predictor.normalise(crop(1), INSIDE))
    kept = first.embedding.clone()
    predictor.encode(predictor.normalise(crop(2), INSIDE))

    assert torch.equal(first.embedding, kept)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gpu_agrees_with_the_cpu(small_network: Make, dtype: torch.dtype):
    here = PublishedPredictor(small_network(), "small", CPU, torch.float32, "0")
    there = PublishedPredictor(small_network(), "small", torch.device("cuda"), dtype, "0")

    for ours, theirs in zip(clicked(there), clicked(here), strict=True):
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert error < (1e-3 if dtype == torch.float32 else 3e-2)
