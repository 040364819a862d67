"""The decoders of coarse passes and of first clicks, and their candidates, in the default model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_fastsam3d.model.checkpoint import read_pyramid, save_pyramid
from napari_fastsam3d.model.default.network import PyramidNetwork, grown
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.training.loss import step_loss

CLICK = np.array([[20, 30, 40]], dtype=np.float32)
POSITIVE = np.ones(1, dtype=np.int64)


def network_with(tiny_predictor, **more) -> PyramidNetwork:
    network = tiny_predictor.network
    torch.manual_seed(1)
    return grown(network, replace(network.config, **more))


def predictor_of(network: PyramidNetwork, dtype=torch.float32) -> PyramidPredictor:
    return PyramidPredictor(network, "tiny", torch.device("cpu"), dtype, "0" * 64)


def image(size: int) -> torch.Tensor:
    return torch.randn(1, 1, size, size, size, generator=torch.Generator().manual_seed(3))


def test_a_coarse_decoder_begins_as_the_other_and_leaves_it_as_it_was(tiny_predictor):
    network = network_with(tiny_predictor, coarse_candidates=2)
    for name, value in tiny_predictor.network.decoder.state_dict().items():
        assert torch.equal(network.decoder.state_dict()[name], value)
        assert torch.equal(network.coarse_decoder.state_dict()[name], value)
    assert network.decoder.candidates is None
    assert network.coarse_decoder.candidates.count == 2


def test_only_a_coarse_crop_is_answered_by_the_coarse_decoder(tiny_predictor):
    network = network_with(tiny_predictor, coarse_candidates=2)
    with torch.no_grad():
        network.coarse_decoder.hyper_middle[-1].bias.add_(1)
    predictor = predictor_of(network)
    for size, candidates in ((64, 2), (128, 0)):
        plain, told = (
            p.segment(p.encode(image(size)), CLICK, POSITIVE, None, None)
            for p in (tiny_predictor, predictor)
        )
        assert len(told.candidates) == candidates
        assert np.array_equal(told.mask_logits, plain.mask_logits) == (size == 128)


def test_only_first_clicks_are_answered_by_the_decoder_of_first_clicks(tiny_predictor):
    network = network_with(tiny_predictor, coarse_candidates=1, first_candidates=2)
    predictor = predictor_of(network)
    encoded = predictor.encode(image(128))
    plain = tiny_predictor.segment(encoded, CLICK, POSITIVE, None, None)
    first = predictor.first_click(encoded, CLICK, None)
    # It begins as the other one.
    np.testing.assert_allclose(first.mask_logits, plain.mask_logits, atol=1e-5)
    assert len(first.candidates) == 2
    told = np.full((32, 32, 32), -8, np.float32)
    told[4:9, 4:9, 4:9] = 8
    assert not np.array_equal(
        predictor.first_click(encoded, CLICK, told).mask_logits, first.mask_logits
    )
    with torch.no_grad():
        network.first_decoder.hyper_middle[-1].bias.add_(1)
    assert not np.array_equal(
        predictor.first_click(encoded, CLICK, None).mask_logits, first.mask_logits
    )
    later = predictor.segment(encoded, CLICK, POSITIVE, None, None)
    assert np.array_equal(later.mask_logits, plain.mask_logits)


def judged(predictor: PyramidPredictor, told: np.ndarray, fed_is_better: bool):
    """Answer a first click where the decoder is made to hold the mask fed for better, or worse."""
    judge = predictor.network.first_decoder.candidates.judge
    estimate = judge.forward

    def biased(*inputs: torch.Tensor) -> torch.Tensor:
        iou = estimate(*inputs)
        iou[:, -1] = 0.99 if fed_is_better else 0.01
        return iou

    judge.forward = biased
    try:
        return predictor.first_click(predictor.encode(image(128)), CLICK, told)
    finally:
        del judge.forward


def test_what_is_seen_from_afar_counts_where_it_is_held_for_better(tiny_predictor):
    network = network_with(tiny_predictor, coarse_candidates=1, first_candidates=2)
    predictor = predictor_of(network)
    told = np.full((32, 32, 32), -8, np.float32)
    told[4:9, 4:9, 4:9] = 8
    worse, better = (judged(predictor, told, each) for each in (False, True))
    assert np.array_equal(better.low_res_logits, told)
    assert better.predicted_iou == pytest.approx(0.99)
    # Drawn twice as fine; cells of the middle are those of the mask.
    assert better.mask_logits.shape == (64, 64, 64)
    assert (better.mask_logits[9:17, 9:17, 9:17] > 0).all()
    assert (better.mask_logits[19:] < 0).all()
    # Whatever counts, the other is a candidate.
    for one, other in ((worse, better), (better, worse)):
        assert len(one.candidates) == 3
        assert any(np.array_equal(c.mask_logits, other.mask_logits) for c in one.candidates)


def test_nothing_from_afar_is_never_the_answer(tiny_predictor):
    predictor = predictor_of(network_with(tiny_predictor, coarse_candidates=1, first_candidates=2))
    encoded = predictor.encode(image(128))
    found = predictor.first_click(encoded, CLICK, None)
    assert len(found.candidates) == 2
    assert found.low_res_logits.any()


def test_the_estimate_for_what_is_fed_flows_back_into_no_mask(tiny_predictor):
    network = network_with(tiny_predictor, coarse_candidates=1, first_candidates=2)
    decoder = network.first_decoder
    pyramid = network.encoder(image(64))
    prompts = Prompts(
        torch.tensor([[[20.0, 30.0, 40.0]]]),
        torch.ones(1, 1, dtype=torch.long),
        torch.full((1, 2, 3), torch.nan),
        torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1)),
    )
    masks = decoder(pyramid, prompts)
    decoder.zero_grad()
    masks.fed.predicted_iou.sum().backward()
    learns = {name for name, value in decoder.named_parameters() if value.grad is not None}
    assert learns
    assert all(name.startswith("candidates.judge.") for name in learns)
    truth = (masks.fed.mask_logits > 0).float()
    assert torch.equal(masks.fed.low_res_logits, prompts.previous)
    far_off = masks.fed._replace(predicted_iou=torch.zeros(1, 1))
    exact = masks.fed._replace(predicted_iou=torch.ones(1, 1))
    losses = [step_loss(masks._replace(fed=fed), truth).loss for fed in (far_off, exact)]
    assert (losses[0] - losses[1]).item() == pytest.approx(0.5, rel=1e-4)


def test_what_is_held_to_be_best_comes_first_from_afar(tiny_predictor):
    predictor = predictor_of(network_with(tiny_predictor, coarse_candidates=3))
    found = predictor.segment(predictor.encode(image(64)), CLICK, POSITIVE, None, None)
    estimates = [found.predicted_iou, *(each.predicted_iou for each in found.candidates)]
    assert estimates == sorted(estimates, reverse=True)
    assert len(set(estimates)) == 4


def test_candidates_in_mixed_precision_are_those_of_full(tiny_predictor):
    more = {"candidates": 2, "coarse_candidates": 2}
    for size in (64, 128):
        full, mixed = (
            predictor_of(network_with(tiny_predictor, **more), dtype)
            for dtype in (torch.float32, torch.bfloat16)
        )
        wanted, got = (
            p.segment(p.encode(image(size)), CLICK, POSITIVE, None, None) for p in (full, mixed)
        )
        assert len(got.candidates) == len(wanted.candidates) == 2
        pairs = zip((got, *got.candidates), (wanted, *wanted.candidates), strict=True)
        for one, other in pairs:
            assert (
                np.abs(one.mask_logits - other.mask_logits).max()
                < 0.1 * np.abs(other.mask_logits).max() + 0.05
            )
            assert abs(one.predicted_iou - other.predicted_iou) < 0.05


def test_a_model_sees_from_afar_where_it_has_a_decoder_for_either_pass(tiny_predictor, tmp_path):
    sizes = {"coarse_candidates": 1, "first_candidates": 1}
    path = tmp_path / "weights.safetensors"
    save_pyramid(network_with(tiny_predictor, **sizes), path)
    assert predictor_of(read_pyramid(path)).sees_from_afar
    for name, count in sizes.items():
        assert not predictor_of(network_with(tiny_predictor, **{name: count})).sees_from_afar


def test_what_learns_from_afar_alone_is_the_coarse_decoder(tiny_predictor):
    network = network_with(tiny_predictor, coarse_candidates=1)
    assert network.decoder_of(boxed=False) is network.decoder
    assert network.decoder_of(boxed=False, coarse=True) is network.coarse_decoder
    assert tiny_predictor.network.decoder_of(boxed=False, coarse=True) is (
        tiny_predictor.network.decoder
    )
    with pytest.raises(ValueError, match="grows by"):
        grown(network, replace(network.config, coarse_candidates=2))
