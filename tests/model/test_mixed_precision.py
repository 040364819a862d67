from copy import deepcopy

import pytest
import torch

from napari_fastsam3d.model.default.mixed_precision import FullPrecision, use_mixed_precision
from napari_fastsam3d.model.default.prompts import Prompts

CPU = torch.device("cpu")


@pytest.fixture
def network(tiny_predictor):
    return deepcopy(tiny_predictor.network)


def rounded(network, device=CPU):
    copy = deepcopy(network)
    use_mixed_precision(copy, device)
    return copy


def crop():
    return torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))


def prompts():
    return Prompts(
        torch.tensor([[[20.0, 31, 42], [8, 9, 10]]]),
        torch.tensor([[1, 0]]),
        torch.full((1, 2, 3), torch.nan),
        torch.zeros(1, 1, 16, 16, 16),
    )


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


@torch.inference_mode()
def test_weights_cast_once_answer_as_those_cast_at_every_call(network):
    on_gpu = rounded(network, torch.device("cuda"))
    with autocast():
        pyramid = network.encoder(crop())
        assert torch.equal(rounded(network).encoder(crop()).fine, pyramid.fine)
        assert torch.equal(on_gpu.encoder(crop()).fine, pyramid.fine)
        wanted = network.decoder(pyramid, prompts())
        assert torch.equal(on_gpu.decoder(pyramid, prompts()).mask_logits, wanted.mask_logits)
    assert on_gpu.decoder.conv_fine.conv.weight.dtype == torch.bfloat16
    assert network.decoder.conv_fine.conv.weight.dtype == torch.float32


@torch.inference_mode()
def test_on_a_cpu_a_handful_of_tokens_is_not_rounded(network):
    decoder, fast = network.decoder, rounded(network).decoder
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn(1, count, 16, generator=generator) for count in (5, 64, 64)]
    given.append(torch.zeros(1, 1, 1, 5))
    exact, _ = decoder.transformer(*given)
    with autocast():
        cast, _ = decoder.transformer(*given)
        spared, _ = fast.transformer(*given)
        predicted_iou = fast.quality(exact[:, 0])
    assert spared.dtype == torch.float32
    assert (spared - exact).abs().mean() < 0.7 * (cast - exact).abs().mean()
    assert torch.equal(predicted_iou, decoder.quality(exact[:, 0]))
    assert fast.conv_fine.conv.weight.dtype == torch.bfloat16


@torch.inference_mode()
def test_masks_stay_near_those_of_full_precision(network):
    pyramid = network.encoder(crop())
    exact = network.decoder(pyramid, prompts())
    fast = rounded(network)
    assert isinstance(fast.decoder.transformer, FullPrecision)
    with autocast():
        masks = fast.decoder(fast.encoder(crop()), prompts())
    assert (
        masks.mask_logits - exact.mask_logits
    ).abs().max() < 0.05 * exact.mask_logits.abs().max()
    assert masks.mask_logits.dtype == torch.float32
