import numpy as np
import pytest
import torch

from napari_fastsam3d.memory.attention import (
    Recollection,
    memory_attention,
    recalling,
    recording,
)
from napari_fastsam3d.memory.case import key_summary
from napari_fastsam3d.model.layers.attention import attend
from napari_fastsam3d.model.sam_med3d.image_encoder import ViTConfig, ViTEncoder


def by_loops(q, k, v, bias, recalled, local):
    """The published formula, one query after the other, in float64."""
    out = np.zeros(q.shape)
    for head in range(q.shape[0]):
        for place, query in enumerate(q[head]):

            def mixed(keys, values, query=query, place=place, head=head):
                logits = keys[head] @ query / np.sqrt(len(query)) + bias[head, place]
                weights = np.exp(logits - logits.max())
                return weights @ values[head] / weights.sum()

            far = sum(w * mixed(keys, values) for keys, values, w in recalled)
            out[head, place] = local * mixed(k, v) + (1 - local) * far
    return out


def test_it_is_the_published_formula():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 27, 8))
    bias = rng.normal(size=(2, 27, 27))
    recalled = [(*rng.normal(size=(2, 2, 27, 8)), weight) for weight in (0.5, 0.3, 0.2)]

    def tensor(array):
        return torch.from_numpy(array).float()

    out = memory_attention(
        *(tensor(x)[None] for x in (q, k, v, bias)),
        [Recollection(tensor(k), tensor(v), w) for k, v, w in recalled],
    )

    expected = by_loops(q, k, v, bias, recalled, 0.3)
    np.testing.assert_allclose(out[0].numpy(), expected, atol=1e-5)


def test_remembering_the_crop_itself_changes_nothing():
    q, k, v = torch.randn(3, 1, 2, 27, 8)
    itself = Recollection(k[0], v[0], 1.0)
    torch.testing.assert_close(memory_attention(q, k, v, None, [itself]), attend(q, k, v))


@pytest.fixture(scope="module")
def encoder() -> ViTEncoder:
    torch.manual_seed(0)
    config = ViTConfig(
        ("none", "global"), "normalised", width=16, heads=2, hidden=16, out_width=8, patch=4
    )
    encoder = ViTEncoder(config).eval().requires_grad_(False)
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name:
            parameter.copy_(torch.randn_like(parameter))
    return encoder


def test_an_empty_bank_leaves_an_encoder_as_it_is(encoder: ViTEncoder):
    image = torch.randn(1, 1, 32, 32, 32)
    with recalling(encoder.blocks[1].attn, lambda _: []):
        recalled = encoder(image)
    assert torch.equal(recalled, encoder(image))


def test_an_encoder_recalls_what_it_recorded(encoder: ViTEncoder):
    layer = encoder.blocks[1].attn
    one, other = torch.randn(2, 1, 1, 32, 32, 32)
    with recording(layer) as kept:
        before = encoder(one)
    keys, values = kept
    asked = []

    def choose(descriptor):
        asked.append(descriptor)
        return [Recollection(torch.from_numpy(keys), torch.from_numpy(values), 1.0)]

    with recalling(layer, choose):
        changed, same = encoder(other), encoder(one)

    assert keys.shape == values.shape == (2, 512, 8)
    np.testing.assert_allclose(asked[1], key_summary(keys), atol=1e-3)
    torch.testing.assert_close(same, before, atol=1e-2, rtol=0)
    assert (changed - encoder(other)).abs().max() > 0.01
    assert torch.equal(encoder(one), before)


def test_the_default_model_recalls(tiny_predictor):
    layer = tiny_predictor.memory_layer
    image = torch.randn(1, 1, 128, 128, 128)
    plain = tiny_predictor.encode(image).embedding
    with recording(layer) as kept:
        tiny_predictor.encode(image)
    far = Recollection(*(torch.from_numpy(x).roll(100, 1) for x in kept), 1.0)
    with recalling(layer, lambda _: [far]):
        recalled = tiny_predictor.encode(image).embedding
    with recalling(layer, lambda _: []):
        untouched = tiny_predictor.encode(image).embedding

    assert torch.equal(untouched, plain)
    assert kept[0].shape == (2, 512, 8)
    assert not torch.equal(recalled, plain)
