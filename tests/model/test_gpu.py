"""The GPU's way, where there is one: graphs against single kernels, half precision against all."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_fastsam3d.model.default import runner as default_runner
from napari_fastsam3d.model.default.box_features import BoxFeatures
from napari_fastsam3d.model.default.network import PyramidNetwork, grown
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.device import PinnedBuffers
from napari_fastsam3d.model.sam_med3d import runner as published_runner
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor
from napari_fastsam3d.model.sam_med3d.runner import EagerRunner, GraphRunner, z_normalised

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
        previous = answer.low_res_logits
        masks.append(answer.low_res_logits)
    return masks


class ReplayOnCpu:
    """Does on a CPU what a CUDA graph does: fixed shapes, fixed places, nothing decided anew."""

    recorded = 0

    def __init__(self, function, examples) -> None:
        type(self).recorded += 1
        self.function = function
        self.slots = [example.clone() for example in examples]

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        for slot, value in zip(self.slots, inputs, strict=True):
            assert slot.shape == value.shape
            assert slot.dtype == value.dtype
            slot.copy_(value)
        return tuple(output.clone() for output in self.function(*self.slots))


@pytest.fixture
def replayed(small_network: Make, monkeypatch: pytest.MonkeyPatch) -> PublishedPredictor:
    """A predictor that goes the way of graphs, on the CPU."""
    monkeypatch.setattr(published_runner, "CudaGraph", ReplayOnCpu)
    monkeypatch.setattr(ReplayOnCpu, "recorded", 0)
    predictor = PublishedPredictor(small_network(), "small", CPU, torch.float32, "0")
    predictor._record_graphs()
    return predictor


def test_the_way_of_graphs_gives_what_the_plain_way_gives(
    replayed: PublishedPredictor, small_network: Make
):
    plain = PublishedPredictor(small_network(), "small", CPU, torch.float32, "0")

    assert isinstance(replayed._runner, GraphRunner)
    for ours, theirs in zip(
        clicked(replayed, (0, 1, 1, 2, 3)), clicked(plain, (0, 1, 1, 2, 3)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_few_graphs_serve_all_numbers_of_points(replayed: PublishedPredictor):
    ready = ReplayOnCpu.recorded
    encoded = replayed.encode(replayed.normalise(crop(), INSIDE))

    for count in (0, 1, 1, 1):
        points = torch.zeros(1, count, 3)
        replayed.decode(encoded, points, torch.ones(1, count, dtype=torch.long))
    assert ready == ReplayOnCpu.recorded == 2
    for count in (2, 3, 7, 31, 50):
        points = 127 * torch.rand(1, count, 3)
        replayed.decode(encoded, points, torch.ones(1, count, dtype=torch.long))

    assert ReplayOnCpu.recorded == 5  # for 4, 8 and 32 tokens; 51 run without one


def test_guesses_need_no_graph(replayed: PublishedPredictor):
    encoded = replayed.encode(replayed.normalise(crop(), INSIDE))

    masks, _ = replayed.decode(
        encoded, torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.long), multimask=True
    )

    assert masks.shape[1] == 3


@pytest.mark.parametrize("mixing", [("none", "global"), ("padded", "global"), ("none", "grouped")])
def test_nothing_that_is_recorded_is_read_back(small_network: Make, mixing):
    """A meta tensor has a shape and no numbers: whatever decides by numbers fails on it."""
    network = small_network(mixing).to("meta")
    runner = EagerRunner(network)
    with torch.device("meta"):
        image = z_normalised(torch.empty(1, 1, 128, 128, 128))
        precomputed = runner.encode(image).precomputed
        prompts = torch.empty(1, 8, 3), torch.empty(1, 8, dtype=torch.long)
        logits, predicted_iou = network.decode(
            precomputed, *prompts, torch.empty(1, 1, 32, 32, 32), fillers=True
        )

    assert logits.shape == (1, 1, 32, 32, 32)
    assert predicted_iou.shape == (1, 1)


def test_without_graphs_it_goes_on_and_says_why(small_network: Make):
    if torch.cuda.is_available():
        pytest.skip("graphs can be had here")
    predictor = PublishedPredictor(small_network(), "small", CPU, torch.float32, "0")

    predictor._record_graphs()

    assert type(predictor._runner) is EagerRunner
    (note,) = predictor.notes
    assert note.startswith("CUDA graphs cannot be used here (")
    assert len(clicked(predictor)) == 3


def test_pinned_buffers_on_a_cpu_is_no_copy():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    buffers = PinnedBuffers(CPU)

    tensor = buffers.bring(array)
    (back,) = buffers.fetch(tensor)

    assert np.shares_memory(tensor.numpy(), array)
    assert np.array_equal(back, array)


@needs_gpu
def test_pinned_buffers_survives_a_buffer_in_use():
    buffers = PinnedBuffers(torch.device("cuda"))
    arrays = [np.full((64, 64, 64), n, np.float32) for n in range(20)]

    tensors = [buffers.bring(array) for array in arrays]

    for array, back in zip(arrays, buffers.fetch(*tensors), strict=True):
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


def default_predictor(tiny: PyramidPredictor, device: torch.device = CPU) -> PyramidPredictor:
    """A default model with all of its decoders, random weights."""
    torch.manual_seed(0)
    config = replace(tiny.network.config, box_decoder=True, coarse_candidates=2, first_candidates=1)
    network = grown(PyramidNetwork(tiny.network.config), config)
    return PyramidPredictor(network, "tiny", device, torch.float32, "0")


def default_answers(predictor: PyramidPredictor) -> list[np.ndarray]:
    """Masks of clicks near by and from afar, of both labels, with a mask fed back, and of a box."""
    masks: list[np.ndarray] = []
    box = np.array([[30, 40, 50], [90, 80, 70]], np.float32)
    for size in (128, 64):
        inside = tuple(np.ones(size, bool) for _ in range(3))
        encoded = predictor.encode(predictor.normalise(crop()[:size, :size, :size], inside))
        previous = None
        for labels in ([1], [1, 0], [1, 0, 1], [0]):
            points = POINTS[: len(labels)] * (size / 128)
            answer = predictor.segment(encoded, points, np.array(labels), None, previous)
            previous = answer.low_res_logits
            masks += [
                answer.low_res_logits,
                answer.mask_logits,
                *(each.mask_logits for each in answer.candidates),
            ]
        if size == 128:
            for points in (POINTS[:0], POINTS[:1]):
                labels = np.ones(len(points), int)
                masks.append(predictor.segment(encoded, points, labels, box, None).mask_logits)
            first = (predictor.first_click(encoded, POINTS[:1], fed) for fed in (None, masks[0]))
            masks += [answer.mask_logits for answer in first]
    return masks


def test_the_default_model_gives_by_graphs_what_it_gives_plainly(tiny_predictor, monkeypatch):
    monkeypatch.setattr(default_runner, "CudaGraph", ReplayOnCpu)
    plain, replayed = (default_predictor(tiny_predictor) for _ in range(2))
    with torch.inference_mode():
        replayed._runner = default_runner.GraphRunner(replayed.network, 128)
    assert replayed.memory_layer is None

    wanted = default_answers(plain)
    monkeypatch.setattr(ReplayOnCpu, "recorded", 0)
    got = default_answers(replayed)
    recorded = ReplayOnCpu.recorded
    for ours, theirs in zip(got, wanted, strict=True):
        # Where the plain way draws no fine mask it has the low one, interpolated.
        likely = theirs > -2
        np.testing.assert_allclose(ours[likely], theirs[likely], rtol=1e-3, atol=1e-3)
    default_answers(replayed)
    assert ReplayOnCpu.recorded == recorded  # nothing is captured twice


@pytest.mark.parametrize(("boxed", "coarse"), [(False, False), (True, False), (False, True)])
def test_nothing_of_the_default_model_that_is_recorded_is_read_back(
    tiny_predictor, monkeypatch, boxed, coarse
):
    """A meta tensor has a shape and no numbers: whatever decides by numbers fails on it."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # none for meta
    network = default_predictor(tiny_predictor).network.to("meta")
    decoder, size = network.decoder_of(boxed, coarse), 64 if coarse else 128
    with torch.device("meta"), torch.inference_mode():
        pyramid = network.encoder(torch.empty(1, 1, size, size, size))
        low = torch.empty(1, 1, size // 4, size // 4, size // 4)
        prompts = Prompts(
            torch.empty(1, 3, 3), torch.empty(1, 3, dtype=torch.long), torch.empty(1, 2, 3), low
        )
        told = decoder.read_box(pyramid, prompts.box) if boxed else BoxFeatures()
        masks = decoder(pyramid, default_runner.padded(prompts, 4), told)
    assert masks.mask_logits.shape[2:] == (size // 2,) * 3


@needs_gpu
def test_graphs_of_the_default_model_give_what_single_kernels_give(tiny_predictor):
    device = torch.device("cuda")
    graphs, eager = (default_predictor(tiny_predictor, device) for _ in range(2))
    eager._runner = default_runner.EagerRunner(eager.network)

    assert isinstance(graphs._runner, default_runner.GraphRunner), graphs.notes
    for ours, theirs in zip(default_answers(graphs), default_answers(eager), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
