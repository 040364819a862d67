"""The default network as a whole, against its drawing: torch's own layers, channels first.

Layers by themselves are tested elsewhere; here it is how they are wired, with every weight random.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.default.image_encoder import FRAME, PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork, with_encoder
from napari_fastsam3d.model.default.prompt_maps import fine_maps, middle_maps
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.layers.attention import padding_bias

SIZE = 32
TINY = PyramidConfig(
    widths=(4, 6, 8),
    blocks=(1, 2, 1),
    up_blocks=(1, 2, 1),
    width=16,
    depth=2,
    heads=2,
    decoder_widths=(4, 6, 8),
    affinity_heads=(1, 2),
    affinity_width=4,
)
SEPARABLE = replace(TINY, separable=True)
BOXES = replace(TINY, box_decoder=True, candidates=2)
close = {"atol": 1e-3, "rtol": 1e-3}


@cache
def network(config: PyramidConfig) -> PyramidNetwork:
    made = PyramidNetwork(config)
    generator = torch.Generator().manual_seed(5)
    for parameter in [*made.parameters(), *made.buffers()]:
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def image() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 1, SIZE, SIZE, SIZE, generator=generator)


def last(layer, x: Tensor) -> Tensor:
    """Apply a layer of the last axis to the channels (B, C, D, H, W)."""
    return layer(x.movedim(1, -1)).movedim(-1, 1)


def gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def halved(linear: nn.Linear, x: Tensor) -> Tensor:
    kernel = linear.weight.view(len(linear.weight), 2, 2, 2, -1).permute(0, 4, 1, 2, 3)
    return F.conv3d(x, kernel, linear.bias, stride=2)


def doubled(linear: nn.Linear, x: Tensor) -> Tensor:
    kernel = linear.weight.view(2, 2, 2, -1, x.shape[1]).permute(4, 3, 0, 1, 2)
    offset = linear.bias.view(2, 2, 2, -1).permute(3, 0, 1, 2)
    return F.conv_transpose3d(x, kernel, stride=2) + offset.repeat(1, *x.shape[2:])


def convolved(conv: nn.Conv3d, x: Tensor) -> Tensor:
    return F.conv3d(x, conv.weight, conv.bias, padding=1, groups=conv.groups)


def block(layer: nn.Module, x: Tensor) -> Tensor:
    """A residual block, of any of the three forms, or several after one another."""
    if isinstance(layer, nn.Sequential):
        for each in layer:
            x = block(each, x)
        return x
    if hasattr(layer, "mlp"):
        first, _, second = layer.mlp
        seen = last(layer.norm, convolved(layer.conv, x))
        return x + last(second, last(first, seen).relu())
    hidden = gelu(convolved(layer.conv1.conv, last(layer.norm, x)))
    pointwise = isinstance(layer.conv2, nn.Linear)
    return x + (last(layer.conv2, hidden) if pointwise else convolved(layer.conv2.conv, hidden))


def encoding(position: nn.Module, centres: Tensor) -> Tensor:
    """Waves of places (N, 3) in voxels of a crop that lies in the middle of a frame of 128."""
    phases = 2 * np.pi * (2 * (centres + 0.5 - SIZE / 2) / FRAME) @ position.frequencies
    return torch.cat([phases.sin(), phases.cos()], -1)


def tokens_of(encoder: nn.Module, coarse: Tensor) -> Tensor:
    x = halved(encoder.merge_tokens.linear, coarse)
    n = x.shape[2]
    centres = torch.cartesian_prod(*3 * [torch.arange(n) * 16 + 7.5])
    flat = x.flatten(2).transpose(1, 2)
    flat = flat + encoder.position_projection(encoding(encoder.position, centres))
    for each in encoder.transformer:
        flat = flat + each.attn(each.norm1(flat))
        first, _, second = each.mlp
        flat = flat + second(gelu(first(each.norm2(flat))))
    return encoder.neck(flat).transpose(1, 2).unflatten(2, (n, n, n))


def encoded(encoder: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """A U-Net: down by halving, a transformer below, up by doubling and adding what was there."""
    fine = block(encoder.down_fine, halved(encoder.stem, image))
    middle = block(encoder.down_middle, halved(encoder.merge_middle.linear, fine))
    coarse = block(encoder.down_coarse, halved(encoder.merge_coarse.linear, middle))
    tokens = tokens_of(encoder, coarse)
    coarse = block(encoder.up_coarse, coarse + doubled(encoder.expand_coarse.linear, tokens))
    middle = block(encoder.up_middle, middle + doubled(encoder.expand_middle.linear, coarse))
    fine = block(encoder.up_fine, fine + doubled(encoder.expand_fine.linear, middle))
    return {"tokens": tokens, "coarse": coarse, "middle": middle, "fine": fine}


@pytest.mark.parametrize("config", [TINY, SEPARABLE])
def test_the_encoder_is_a_pyramid_down_and_up_around_a_transformer(image, config):
    encoder = network(config).encoder
    wanted = encoded(encoder, image)
    found = encoder(image)
    torch.testing.assert_close(found.embedding, wanted["tokens"], **close)
    for name in ("coarse", "middle", "fine"):
        torch.testing.assert_close(getattr(found, name).movedim(-1, 1), wanted[name], **close)
    for name, cell in (("fine", 2), ("middle", 4)):
        blocks = image[0, 0].unfold(0, cell, cell).unfold(1, cell, cell).unfold(2, cell, cell)
        mean = blocks.mean((3, 4, 5))[None]
        torch.testing.assert_close(getattr(found, f"{name}_intensity"), mean, **close)
        keys = getattr(encoder, f"{name}_keys")
        projected = last(keys.linear, last(keys.norm, wanted[name])).flatten(2)
        heads = projected.unflatten(1, (keys.heads, -1))
        torch.testing.assert_close(
            getattr(found, f"{name}_keys"), F.normalize(heads, dim=2), **close
        )


def test_stages_have_as_many_blocks_as_the_configuration_says():
    """By the names that weights have in files: a lone block on the way up has no number."""
    config = replace(TINY, blocks=(1, 2, 3), up_blocks=(3, 1, 2))
    for separable, kind in ((False, "conv2.conv.weight"), (True, "mlp.2.weight")):
        keys = network(replace(config, separable=separable)).encoder.state_dict().keys()
        blocks = {key.removesuffix(f".{kind}") for key in keys if key.endswith(kind)}
        fine = {"down_fine.0", *(f"up_fine.{n}" for n in range(3))}
        coarser = {"down_middle.0", "down_middle.1", *(f"down_coarse.{n}" for n in range(3))}
        coarser |= {"up_middle", "up_coarse.0", "up_coarse.1"}
        deep = {f"transformer.{n}" for n in range(2)} if separable else set()
        assert blocks == coarser | (deep if separable else fine)
        pointwise = {
            key.removesuffix(".conv2.weight") for key in keys if key.endswith(".conv2.weight")
        }
        assert pointwise == (fine if separable else set())


PLACES = torch.tensor([[[5.0, 9.0, 20.0], [17.0, 3.0, 30.0], [8.0, 25.0, 12.0]]])
LABELS = torch.tensor([[1, 0, 1]])
BOX = torch.tensor([[[4.0, 6.0, 8.0], [20.0, 19.0, 28.0]]])
NO_BOX = torch.full((1, 2, 3), torch.nan)


def prompts(box: Tensor = NO_BOX, labels: Tensor = LABELS) -> Prompts:
    generator = torch.Generator().manual_seed(9)
    fed = 3 * torch.randn(1, 1, SIZE // 4, SIZE // 4, SIZE // 4, generator=generator)
    return Prompts(PLACES, labels, box, fed)


def clicked(pyramid, place: Tensor) -> Tensor:
    i, j, k = ((place + 0.5) / 4).floor().long().clamp(0, SIZE // 4 - 1).tolist()
    return pyramid.middle[0, i, j, k]


def decoded(decoder: nn.Module, pyramid, told: Prompts) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens and image exchange what they know; the mask is drawn at three scales.

    Gives the logits at S/4 and S/2, of the main mask and of any candidates, and the main token.
    """
    encoder, read = decoder.prompt_encoder, decoder.read_box(pyramid, told.box)

    def token(place: Tensor, learnt: Tensor) -> Tensor:
        seen = encoder.clicked(clicked(pyramid, place))
        return encoding(encoder.position, place) + seen + learnt

    names = encoder.labels.weight
    points = [token(at, names[max(0, n)]) for at, n in zip(PLACES[0], told.labels[0], strict=True)]
    corners = [
        token(at.nan_to_num(), c) for at, c in zip(told.box[0], encoder.corners.weight, strict=True)
    ]
    corners = torch.stack(corners) + (0 if read.corners is None else read.corners[0])
    own = [decoder.output_tokens.weight, torch.stack(points), corners]
    valid = [True, True, *(told.labels[0] >= 0).tolist(), *2 * [not told.box.isnan().any()]]
    head = decoder.candidates
    if head is not None:
        own, valid = [*own, head.tokens.weight], [*valid, *head.count * [False]]
    first, _, second = encoder.mask
    dense = halved(second.linear, gelu(halved(first.linear, torch.tanh(told.previous / 4))))
    image = (pyramid.embedding + dense).flatten(2).transpose(1, 2)
    image = image if read.tokens is None else image + read.tokens
    n = SIZE // 16
    centres = torch.cartesian_prod(*3 * [torch.arange(n) * 16 + 7.5])
    tokens, image = decoder.transformer(
        torch.cat(own)[None],
        image,
        encoding(encoder.position, centres)[None],
        padding_bias(torch.tensor([valid]), torch.float32),
    )
    coarse = doubled(decoder.expand_coarse.linear, image.transpose(1, 2).unflatten(2, (n, n, n)))
    coarse = coarse + last(decoder.skip_coarse, pyramid.coarse.movedim(-1, 1))
    coarse = block(decoder.block_coarse, plus(coarse, read.coarse))
    maps = middle_maps(pyramid, told, True)
    joined = torch.cat([pyramid.middle.movedim(-1, 1), maps], 1)
    middle = doubled(decoder.expand_middle.linear, coarse) + last(decoder.skip_middle, joined)
    middle = block(decoder.block_middle, plus(middle, read.middle))
    joined = torch.cat([pyramid.fine.movedim(-1, 1), fine_maps(pyramid, told, True)], 1)
    fine = doubled(decoder.expand_fine.linear, middle) + last(decoder.skip_fine, joined)
    fine = gelu(plus(fine, read.fine))
    fine = fine + convolved(decoder.conv_fine.conv, fine)

    def drawn(features: Tensor, name: str) -> Tensor:
        weights = [getattr(decoder, name)(tokens[:, :1])]
        if head is not None:
            weights.append(getattr(head, name)(tokens[:, -head.count :]))
        return torch.einsum("bkc,bcdhw->bkdhw", torch.cat(weights, 1), features)

    low = drawn(middle, "hyper_middle").float()
    large = F.interpolate(low, scale_factor=2, mode="trilinear", align_corners=False)
    return low, large + drawn(fine, "hyper_fine").float(), tokens


def plus(x: Tensor, read: Tensor | None) -> Tensor:
    return x if read is None else x + read.movedim(-1, 1)


@pytest.mark.parametrize("labels", [LABELS, torch.tensor([[1, -1, 0]])])
def test_the_decoder_draws_a_mask_at_three_scales(image, labels):
    made = network(TINY)
    pyramid, told = made.encoder(image), prompts(labels=labels)
    low, large, tokens = decoded(made.decoder, pyramid, told)
    found = made.decoder(pyramid, told)
    torch.testing.assert_close(found.low_res_logits, low, **close)
    torch.testing.assert_close(found.mask_logits, large, **close)
    estimate = torch.sigmoid(made.decoder.quality(tokens[:, 1])).float()
    torch.testing.assert_close(found.predicted_iou, estimate)
    assert found.candidates is None


def test_a_box_is_read_and_candidates_are_drawn_beside_the_mask(image):
    made = network(BOXES)
    pyramid = made.encoder(image)
    low, large, _ = decoded(made.decoder_of(boxed=True), pyramid, prompts(BOX))
    found = made.box_decoder(pyramid, prompts(BOX))
    torch.testing.assert_close(found.low_res_logits, low, **close)
    torch.testing.assert_close(found.mask_logits, large, **close)
    low, large, _ = decoded(made.decoder, pyramid, prompts())
    found = made.decoder(pyramid, prompts())
    both = [torch.cat(pair, 1) for pair in zip(found[:3], found.candidates[:3], strict=True)]
    torch.testing.assert_close(both[0], low, **close)
    torch.testing.assert_close(both[1], large, **close)
    assert found.low_res_logits.shape[1] == 1
    assert found.predicted_iou.shape == (1, 1)
    assert found.candidates.predicted_iou.shape == (1, 2)


def test_another_encoder_stands_before_the_same_decoders(image):
    teacher, student = network(BOXES), network(replace(BOXES, separable=True))
    joined = with_encoder(teacher, student.encoder, student.config)
    assert joined.encoder is student.encoder
    assert joined.config is student.config
    assert joined.decoders == teacher.decoders
    wanted = teacher.decoder(student.encoder(image), prompts())
    found = joined.decoder(joined.encoder(image), prompts())
    assert torch.equal(found.mask_logits, wanted.mask_logits)
