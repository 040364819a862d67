"""The published networks as a whole, and what their predictor makes of prompts, written out."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.sam_med3d.image_encoder import GlobalAttention, ViTEncoder
from napari_fastsam3d.model.sam_med3d.network import FASTSAM3D, PublishedNetwork
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor, constrained_to_box
from napari_fastsam3d.model.sam_med3d.runner import z_normalised

CPU = torch.device("cpu")
Make = Callable[..., PublishedNetwork]
MIXINGS = [("none", "global"), ("padded", "global"), ("grouped", "none")]
ZEROS = torch.zeros(1, 1, 32, 32, 32)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def network(small_network: Make) -> PublishedNetwork:
    return small_network()


@pytest.fixture(scope="module")
def predictor(small_network: Make) -> PublishedPredictor:
    return PublishedPredictor(small_network(), "small", CPU, torch.float32, "0" * 64)


def embedded(encoder: ViTEncoder, image: Tensor) -> Tensor:
    """A vision transformer on patches of 16^3, with a neck of two convolutions, channels first."""
    patches = F.conv3d(
        image,
        encoder.patch_embed.proj.weight.view(-1, 1, 16, 16, 16),
        encoder.patch_embed.proj.bias,
        stride=16,
    )
    x = (patches + encoder.pos_embed.movedim(-1, 1)).flatten(2).transpose(1, 2)
    for block, mixing in zip(encoder.blocks, encoder.config.mixing, strict=True):
        assert (block.attn is None) == (mixing == "none")
        if block.attn is not None:
            x = x + block.attn(
                F.layer_norm(x, x.shape[-1:], block.norm1.weight, block.norm1.bias, 1e-6)
            )
        seen = F.layer_norm(x, x.shape[-1:], block.norm2.weight, block.norm2.bias, 1e-6)
        hidden = F.gelu(block.mlp.lin1(seen))
        skip = seen if encoder.config.residual == "normalised" else x
        x = skip + block.mlp.lin2(hidden)
    first, norm, second, last = encoder.neck
    out = first.out_features
    x = F.conv3d(x.transpose(1, 2).unflatten(2, (8, 8, 8)), first.weight.view(out, -1, 1, 1, 1))
    x = norm(x.movedim(1, -1)).movedim(-1, 1)
    kernel = second.linear.weight.view(out, 3, 3, 3, out).permute(0, 4, 1, 2, 3)
    return last(F.conv3d(x, kernel, padding=1).movedim(1, -1)).movedim(-1, 1)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_the_encoder_is_a_vision_transformer_with_a_neck(small_network: Make, image, mixing):
    encoder = small_network(mixing, seed=3).image_encoder
    residual = "normalised" if "none" in mixing else "standard"
    assert encoder.config.residual == residual
    found, wanted = encoder(image), embedded(encoder, image)
    assert found.shape == (1, 48, 8, 8, 8)
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)


def test_the_student_s_sizes_are_those_that_its_weights_have():
    config = FASTSAM3D.encoder
    assert config.crop_size == 128
    assert config.mixing == ("none", "none", "global", "global", "global", "global")
    assert (config.width, config.heads, config.residual) == (768, 6, "normalised")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_prompts_are_decoded_with_a_padding_point_after_any_and_zeros_for_no_mask(
    predictor, network, image, count
):
    encoded = predictor.encode(image)
    rng = np.random.default_rng(count)
    places = rng.uniform(0, 127, (count, 3)).astype(np.float32)
    labels = np.array([1, 0, 1][:count], np.int64)
    told = torch.from_numpy(places)[None], torch.from_numpy(labels)[None]
    padded = told
    if count:
        padded = torch.cat([told[0], torch.zeros(1, 1, 3)], 1), F.pad(told[1], (0, 1), value=-1)
    precomputed = network.precompute(network.encode(image))
    logits, quality = network.decode(precomputed, *padded, ZEROS)
    found = predictor.segment(encoded, places, labels, None, None)
    close = {"atol": 1e-3, "rtol": 1e-3}
    np.testing.assert_allclose(found.low_res_logits, logits[0, 0], **close)
    assert found.mask_logits is found.low_res_logits
    assert found.predicted_iou == pytest.approx(float(quality[0, 0].clamp(0, 1)), abs=1e-3)
    assert found.candidates == ()
    again, _ = predictor.decode(encoded.embedding, *told)
    torch.testing.assert_close(again, logits, **close)
    fed = torch.full_like(ZEROS, 2.0)
    wanted, _ = network.decode(precomputed, *padded, fed)
    given_mask = predictor.segment(encoded, places, labels, None, fed[0, 0].numpy())
    np.testing.assert_allclose(given_mask.low_res_logits, wanted[0, 0], **close)
    several, qualities = predictor.decode(encoded, *told, multimask=True)
    guesses, theirs = network.decode(precomputed, *padded, ZEROS, multimask=True)
    torch.testing.assert_close(several, guesses, **close)
    torch.testing.assert_close(qualities, theirs, **close)


corners = st.tuples(*[st.integers(0, 31)] * 3)


@settings(max_examples=20)
@given(corners, corners)
def test_a_mask_is_kept_to_the_cells_that_meet_a_box_grown_by_a_tenth(one, other):
    low, high = np.minimum(one, other), np.maximum(one, other)
    logits = torch.arange(8 * 8 * 8.0).view(1, 1, 8, 8, 8) - 200
    box = torch.from_numpy(np.stack([low, high]))[None].float()
    found = constrained_to_box(logits, box)
    margin = np.maximum(1, 0.1 * (high - low + 1))
    for cell in product(range(8), repeat=3):
        first = np.array(cell) * 4
        meets = (
            all(
                any(a <= voxel <= b for voxel in range(f, f + 4))
                for f, a, b in zip(first, low - margin, high + margin, strict=True)
            )
            or ((first + 3 >= low - margin) & (first <= high + margin)).all()
        )
        before = float(logits[(0, 0, *cell)])
        assert float(found[(0, 0, *cell)]) == (before if meets else min(before, -10))


def test_features_are_the_embedding_between_its_tokens(predictor, image):
    encoded = predictor.encode(image)
    fine, coarse = predictor.features(encoded)
    assert fine.shape == (32, 32, 32, 48)
    assert coarse.shape == (16, 16, 16, 48)
    tokens = encoded.embedding[0].numpy()
    rng = np.random.default_rng(0)
    for features, factor in ((fine, 4), (coarse, 2)):
        for cell in rng.integers(0, 8 * factor, (6, 3)):
            at = ((cell + 0.5) / factor - 0.5).clip(0, 7)
            low = np.floor(at).astype(int)
            wanted = np.zeros(48)
            for step in product((0, 1), repeat=3):
                weight = np.prod(
                    [1 - t if s == 0 else t for s, t in zip(step, at - low, strict=True)]
                )
                wanted += weight * tokens[(slice(None), *np.minimum(low + step, 7))]
            np.testing.assert_allclose(features[tuple(cell)], wanted, atol=1e-4)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 200.0, -600.0]), st.integers(0, 3))
def test_a_crop_is_normalised_by_what_is_positive_or_else_by_all(seed, middle, few):
    raw = np.random.default_rng(seed).normal(middle, 60, (4, 4, 4))
    if middle < 0:
        raw.ravel()[:few] = [5, 9, 11][:few]
    positive = raw[raw > 0] if (raw > 0).sum() > 1 else raw.ravel()
    wanted = (raw - positive.mean()) / positive.std(ddof=1)
    found = z_normalised(torch.from_numpy(raw))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("mixing", "remembers"),
    [
        (("none", "global"), True),
        (("global", "none"), False),
        (("none", "padded"), False),
        (("none", "none", "global", "none"), True),
        (("none", "none", "none", "global"), False),
    ],
)
def test_memory_is_mixed_in_two_thirds_of_the_way_where_tokens_attend_to_all(
    small_network: Make, mixing, remembers
):
    predictor = PublishedPredictor(small_network(mixing), "small", CPU, torch.float32, "")
    layer = predictor.memory_layer
    assert isinstance(layer, GlobalAttention) == remembers
    assert (
        layer is None or layer is predictor.network.image_encoder.blocks[2 * len(mixing) // 3].attn
    )
    assert predictor.how.startswith("cpu, float32, torch's")


def test_every_block_asks_whether_to_go_on_and_what_it_raises_ends_the_work(predictor, image):
    asked: list[int] = []
    predictor.before_block = lambda: asked.append(1)
    try:
        encoded = predictor.encode(image)
        encoding = len(asked)
        predictor.segment(encoded, np.full((1, 3), 60, np.float32), np.array([1]), None, None)
        assert encoding >= len(predictor.network.image_encoder.blocks)
        assert len(asked) > encoding

        def stop() -> None:
            raise InterruptedError

        predictor.before_block = stop
        with pytest.raises(InterruptedError):
            predictor.encode(image)
        assert predictor.before_block is stop
    finally:
        predictor.before_block = lambda: None


def test_another_network_of_the_same_kind_answers_in_its_place(small_network: Make, image):
    predictor = PublishedPredictor(small_network(), "small", CPU, torch.float32, "")
    other = PublishedPredictor(small_network(seed=8), "other", CPU, torch.float32, "")
    before = predictor.encode(image).embedding
    predictor.use_network(other.network)
    assert torch.equal(predictor.encode(image).embedding, other.encode(image).embedding)
    assert not torch.allclose(before, predictor.encode(image).embedding)
