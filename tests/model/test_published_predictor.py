"""The published models as a session meets them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor, constrained_to_box
from napari_fastsam3d.session import Session

CPU = torch.device("cpu")
Make = Callable[..., PublishedNetwork]


@pytest.fixture(scope="module")
def predictor(small_network: Make) -> PublishedPredictor:
    return PublishedPredictor(small_network(), "small", CPU, torch.float32, "0" * 64)


def everywhere(size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.ones(size, bool) for _ in range(3))


def raw_crop(seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(100, 300, (128, 128, 128)).astype(np.float32)


def points(*places: tuple[float, float, float]) -> np.ndarray:
    return np.array(places, np.float32).reshape(-1, 3)


def test_normalised_by_the_positive_voxels(predictor: PublishedPredictor):
    crop = raw_crop()
    positive = crop[crop > 0].astype(np.float64)

    image = predictor.normalise(crop, everywhere())

    expected = (crop - positive.mean()) / positive.std(ddof=1)
    assert image.shape == (1, 1, 128, 128, 128)
    np.testing.assert_allclose(image[0, 0], expected, rtol=1e-4, atol=1e-5)


def test_outside_the_volume_is_zero_before_it_is_normalised(predictor: PublishedPredictor):
    crop = raw_crop()
    inside = everywhere()
    inside[1][:30] = False
    zeroed = crop.copy()
    zeroed[:, :30] = 0

    image = predictor.normalise(crop, inside)

    torch.testing.assert_close(image, predictor.normalise(zeroed, everywhere()))


@pytest.mark.parametrize("value", [0.0, -1000.0, 7.0])
def test_a_flat_crop_is_finite(predictor: PublishedPredictor, value: float):
    crop = np.full((128, 128, 128), value, np.float32)

    image = predictor.normalise(crop, everywhere())

    assert (image == 0).all()


def test_air_alone_is_normalised_by_all_of_it(predictor: PublishedPredictor):
    crop = raw_crop() - 5000

    image = predictor.normalise(crop, everywhere())

    assert abs(float(image.mean())) < 1e-3
    assert abs(float(image.std()) - 1) < 1e-3


def test_one_step_of_interaction(predictor: PublishedPredictor):
    encoded = predictor.encode(predictor.normalise(raw_crop(), everywhere()))

    first = predictor.segment(encoded, points((60, 64, 70)), np.array([1]), None, None)
    again = predictor.segment(encoded, points((60, 64, 70)), np.array([1]), None, None)
    second = predictor.segment(
        encoded, points((9, 9, 9)), np.array([0]), None, first.low_res_logits
    )

    assert encoded.embedding.shape == (1, 48, 8, 8, 8)
    assert first.low_res_logits.shape == first.mask_logits.shape == (32, 32, 32)
    assert first.low_res_logits.dtype == np.float32
    assert 0 <= first.predicted_iou <= 1
    assert np.array_equal(first.mask_logits, again.mask_logits)
    assert not np.array_equal(first.mask_logits, second.mask_logits)


def test_a_box_is_a_point_at_its_centre_and_a_fence(predictor: PublishedPredictor):
    encoded = predictor.encode(predictor.normalise(raw_crop(), everywhere()))
    nothing = points(), np.zeros(0, np.int64)
    box = np.array([[20, 30, 40], [79, 69, 59]], np.float32)

    boxed = predictor.segment(encoded, *nothing, box, None).low_res_logits
    clicked = predictor.segment(
        encoded, points((49.5, 49.5, 49.5)), np.array([1]), None, None
    ).low_res_logits

    inside = np.zeros((32, 32, 32), bool)
    inside[3:22, 6:19, 9:16] = True  # voxels 14 to 85, 26 to 73, 38 to 61
    np.testing.assert_array_equal(boxed[inside], clicked[inside])
    assert (boxed[~inside] <= -10).all()


def test_the_fence_never_shuts_out_its_box():
    logits = torch.zeros(1, 1, 32, 32, 32)
    box = torch.tensor([[[5.0, 5.0, 5.0], [5.0, 5.0, 127.0]]])

    kept = constrained_to_box(logits, box)[0, 0] == 0

    assert kept[1, 1, 1:].all()
    assert not kept[0].any()
    assert not kept[3:].any()


@pytest.mark.parametrize("mixing", [("none", "global"), ("padded", "global"), ("none", "grouped")])
def test_the_fast_mode_is_close(small_network: Make, mixing):
    image = torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(2))

    exact, fast = (
        PublishedPredictor(small_network(mixing), "small", CPU, dtype, "0").encode(image).embedding
        for dtype in (torch.float32, torch.bfloat16)
    )

    assert not torch.equal(exact, fast)
    assert (exact - fast).norm() < 2e-2 * exact.norm()


def test_the_fast_mode_lowers_linear_layers_only(small_network: Make):
    predictor = PublishedPredictor(small_network(), "small", CPU, torch.bfloat16, "0")

    low = {k for k, v in predictor.network.named_buffers() if v.dtype == torch.bfloat16}

    linear = {"patch_embed", "qkv", "proj", "lin1", "lin2", "neck.0", "neck.2"}
    assert low
    assert all(any(name in key for name in linear) for key in low)
    assert not any("norm" in key or "rel_pos" in key for key in low)


class OutOfMemory:
    """A runner on a GPU that has no memory left."""

    def __init__(self, network: PublishedNetwork) -> None:
        self.network = network

    def encode(self, image: torch.Tensor):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    decode = precompute = encode


def test_without_memory_it_goes_on_with_the_cpu_and_says_so(small_network: Make):
    predictor = PublishedPredictor(small_network(), "small", CPU, torch.float32, "0")
    image = torch.randn(1, 1, 128, 128, 128)
    expected = predictor.encode(image)
    predictor.device = torch.device("meta")  # stands for a GPU, which a test can't count on
    predictor._runner = OutOfMemory(predictor.network)

    encoded = predictor.encode(image)

    assert torch.equal(encoded.embedding, expected.embedding)
    assert predictor.device == CPU
    assert predictor.notes == ("meta has too little memory; going on with the CPU.",)
    assert predictor.how.startswith("cpu, float32")


def test_a_session_tells_that_it_goes_on_with_the_cpu_once(small_network: Make, caplog):
    predictor = PublishedPredictor(small_network(), "small", CPU, torch.float32, "0")
    predictor.device = torch.device("meta")
    predictor._runner = OutOfMemory(predictor.network)
    voxels = np.random.default_rng(3).normal(50, 20, (60, 50, 40)).astype(np.int16)
    notes: list[str] = []

    with Session(Volume.from_array(voxels), model=predictor) as session:
        session.noted.connect(notes.append)
        session.add_point((30, 25, 20))
        session.add_point((5, 5, 5), positive=False)

    assert notes == ["small: meta has too little memory; going on with the CPU."]
    assert caplog.messages == notes


def test_a_session_clicks_and_boxes_with_it(predictor: PublishedPredictor):
    voxels = np.random.default_rng(3).normal(50, 20, (60, 50, 40)).astype(np.int16)
    volume = Volume.from_array(voxels, spacing=(2.0, 1.5, 3.0))

    with Session(volume, model=predictor) as session:
        clicked = session.add_point((30, 25, 20))
        refused = session.add_point((5, 5, 5), positive=False)
        boxed = session.add_box((20, 20, 10), (40, 35, 30))
        mask = session.mask()

    assert mask[30, 25, 20]
    assert not mask[5, 5, 5]
    assert clicked.quality is not None
    assert refused.object == boxed.object
    assert any("knows no boxes" in note for note in boxed.notes)
