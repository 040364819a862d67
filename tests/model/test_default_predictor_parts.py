"""What the default model's predictor hands to its network, and what it keeps between steps."""

import numpy as np
import pytest
import torch
from small_pyramid import SIZE, small_pyramid

from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.default.prompts import Prompts

PLACE = np.array([[11, 17, 20]], np.float32)
INSIDE = np.array([1])
BOX = np.array([[6, 8, 10], [20, 24, 22]], np.float32)
NONE = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def predictor() -> PyramidPredictor:
    return small_pyramid()


@pytest.fixture(scope="module")
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(1, 1, SIZE, SIZE, SIZE, generator=generator) for _ in range(2)]


def test_features_are_those_of_the_pyramid_channels_last(predictor, images):
    encoded = predictor.encode(images[0])
    fine, coarse = predictor.features(encoded)
    assert fine.shape == (8, 8, 8, 8)
    assert coarse.shape == (4, 4, 4, 16)
    np.testing.assert_array_equal(fine, encoded.middle[0].numpy())
    np.testing.assert_array_equal(coarse, encoded.coarse[0].numpy())
    assert fine.dtype == coarse.dtype == np.float32


def test_a_step_is_what_the_network_says_of_the_same_prompts(predictor, images):
    encoded = predictor.encode(images[0])
    fed = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    for places, labels, previous in (
        (PLACE, INSIDE, None),
        (PLACE, np.array([0]), fed),
        (*NONE, fed),
    ):
        some = len(labels) > 0
        told = Prompts(
            torch.from_numpy(places)[None] if some else torch.zeros(1, 1, 3),
            torch.from_numpy(labels)[None] if some else torch.tensor([[-1]]),
            torch.full((1, 2, 3), torch.nan),
            torch.zeros(1, 1, 8, 8, 8) if previous is None else torch.from_numpy(fed)[None, None],
        )
        with torch.inference_mode():
            wanted = predictor.network.decoder(encoded, told, local=True)
        found = predictor.segment(encoded, places, labels, None, previous)
        low, quality = predictor.decode(
            encoded, told.points[:, : len(labels)], told.labels[:, : len(labels)], told.previous
        )
        np.testing.assert_array_equal(found.low_res_logits, wanted.low_res_logits[0, 0])
        np.testing.assert_array_equal(found.mask_logits, wanted.mask_logits[0, 0])
        np.testing.assert_array_equal(found.low_res_logits, low[0, 0])
        assert found.predicted_iou == float(wanted.predicted_iou) == float(quality)
        others = [each.mask_logits for each in found.candidates]
        np.testing.assert_array_equal(others, wanted.candidates.mask_logits[0])


def test_a_box_is_read_once_for_all_steps_on_one_crop(predictor, images, monkeypatch):
    reader, reads = predictor.network.box_decoder, []
    monkeypatch.setattr(
        reader, "read_box", lambda *told, read=reader.read_box: reads.append(told) or read(*told)
    )
    one, other = (predictor.encode(image) for image in images)
    first = predictor.segment(one, *NONE, BOX, None)
    assert len(reads) == 1
    again = predictor.segment(one, *NONE, BOX.copy(), None)
    np.testing.assert_array_equal(first.mask_logits, again.mask_logits)
    predictor.segment(one, PLACE, INSIDE, None, None)
    predictor.segment(one, PLACE, INSIDE, BOX, None)
    assert len(reads) == 1, "a click without a box leaves it remembered"
    predictor.segment(one, PLACE, INSIDE, BOX + 1, None)
    predictor.segment(other, PLACE, INSIDE, BOX + 1, None)
    predictor.segment(other, PLACE, INSIDE, BOX + 1, None)
    assert len(reads) == 3, "another box, and another crop"


def test_memory_is_mixed_in_two_thirds_of_the_way_through_the_transformer(predictor):
    blocks = predictor.network.encoder.transformer
    assert len(blocks) == 2
    assert predictor.memory_layer is blocks[1].attn
