"""The published decoder: what is done once a crop, and what fixed shapes must not change."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.cuda_graph import filled
from napari_fastsam3d.model.sam_med3d.checkpoint_keys import network_tensors, published_tensors
from napari_fastsam3d.model.sam_med3d.mask_decoder import Expansion
from napari_fastsam3d.model.sam_med3d.network import FILLER, PublishedNetwork

Make = Callable[..., PublishedNetwork]


@pytest.fixture(scope="module")
def network(small_network: Make) -> PublishedNetwork:
    return small_network()


@pytest.fixture(scope="module")
def embedding() -> Tensor:
    return torch.randn(1, 48, 8, 8, 8, generator=torch.Generator().manual_seed(0))


def prompts(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    points = 127 * torch.rand(1, count, 3, generator=generator)
    return points, torch.arange(count)[None] % 2


def previous(seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, 32, 32, 32, generator=generator)


def decoded_without_memory(
    network: PublishedNetwork, embedding: Tensor, points: Tensor, labels: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """The decoder as its papers draw it: the image with the mask's embedding goes in as a whole."""
    encoder, decoder = network.prompt_encoder, network.mask_decoder
    dense = encoder.mask_bias(encoder.mask_features(mask))
    image = embedding.flatten(2).transpose(1, 2) + dense
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])[None]
    tokens = torch.cat([output, encoder.points(points, labels)], dim=1)
    tokens, image = decoder.transformer(tokens, image, encoder.grid_encoding())
    first, norm, second = decoder.output_upscaling.values()
    features = image.transpose(1, 2).reshape(1, 48, 8, 8, 8)
    features = transposed(first, features).movedim(1, -1)
    features = F.gelu(norm(features)).movedim(-1, 1)
    features = F.gelu(transposed(second, features))
    weights = decoder.output_hypernetworks_mlps[0](tokens[:, 1])
    logits = torch.einsum("bc,bcdhw->bdhw", weights, features)[:, None]
    return logits, decoder.iou_prediction_head(tokens[:, 0])[:, :1]


def transposed(expansion: torch.nn.Module, x: Tensor) -> Tensor:
    assert isinstance(expansion, Expansion)
    kernel = expansion.linear.weight.unflatten(0, (2, 2, 2, -1)).permute(4, 3, 0, 1, 2)
    return F.conv_transpose3d(x, kernel, expansion.linear.bias, stride=2)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_what_is_done_once_a_crop_changes_nothing(network, embedding, count):
    points, labels = prompts(count)
    expected = decoded_without_memory(network, embedding, points, labels, previous())

    ours = network.decode(network.precompute(embedding), points, labels, previous())

    torch.testing.assert_close(ours[0], expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours[1], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("count", "places"), [(1, 2), (3, 8), (0, 2)])
def test_fillers_change_nothing(network, embedding, count, places):
    precomputed = network.precompute(embedding)
    points, labels = prompts(count)

    alone = network.decode(precomputed, points, labels, previous())
    among = network.decode(
        precomputed, *filled(points, labels, places, FILLER), previous(), fillers=True
    )

    torch.testing.assert_close(among[0], alone[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(among[1], alone[1])


def test_guesses_are_three_and_differ(network, embedding):
    masks, predicted_iou = network.decode(
        network.precompute(embedding), *prompts(1), previous(), multimask=True
    )

    assert masks.shape == (1, 3, 32, 32, 32)
    assert predicted_iou.shape == (1, 3)
    assert not torch.allclose(masks[:, 0], masks[:, 1])


def test_the_mask_of_the_step_before_matters(network, embedding):
    precomputed = network.precompute(embedding)

    first, _ = network.decode(precomputed, *prompts(1), previous(1))
    second, _ = network.decode(precomputed, *prompts(1), previous(2))

    assert not torch.allclose(first, second)


def test_the_order_of_axes_in_the_grid_is_the_authors(small_network: Make):
    encoder = small_network().prompt_encoder
    centres = (torch.arange(8) + 0.5) / 8

    grid = encoder.grid_encoding().reshape(8, 8, 8, 48)

    place = torch.stack([centres[5], centres[2], centres[7]])  # of axis 1, axis 0, axis 2
    torch.testing.assert_close(grid[2, 5, 7], encoder.pe_layer(place))


def test_a_point_is_encoded_in_array_order_as_sine_cosine_sine(small_network: Make):
    encoder = small_network().prompt_encoder
    point = torch.tensor([[[10.0, 20.0, 30.0]]])

    negative, positive, padding = (
        encoder.points(point, torch.tensor([[label]]))[0, 0] for label in (0, 1, -1)
    )

    phase = 2 * torch.pi * (2 * (point[0, 0] + 0.5) / 128 - 1) @ encoder.pe_layer.frequencies
    expected = torch.cat([phase.sin(), phase.cos(), phase.sin()])
    labels = [embedding.weight[0] for embedding in encoder.point_embeddings]
    torch.testing.assert_close(negative, expected + labels[0])
    torch.testing.assert_close(positive, expected + labels[1])
    torch.testing.assert_close(padding, encoder.not_a_point_embed.weight[0])


@pytest.mark.parametrize("mixing", [("none", "global"), ("padded", "global")])
def test_the_authors_layout_and_back(small_network: Make, mixing):
    network = small_network(mixing)
    theirs = published_tensors(network)

    back = network_tensors(network, theirs)

    assert theirs["image_encoder.patch_embed.proj.weight"].shape == (32, 1, 16, 16, 16)
    assert theirs["image_encoder.neck.2.weight"].shape == (48, 48, 3, 3, 3)
    assert theirs["prompt_encoder.mask_downscaling.3.weight"].shape == (16, 4, 2, 2, 2)
    assert theirs["mask_decoder.output_upscaling.0.weight"].shape == (48, 12, 2, 2, 2)
    assert theirs["mask_decoder.output_upscaling.3.bias"].shape == (6,)
    for key, value in network.state_dict().items():
        assert torch.equal(back[key], value), key


def test_the_mask_prompt_is_two_strided_convolutions(small_network: Make):
    network = small_network()
    theirs = published_tensors(network)
    logits = torch.randn(1, 1, 32, 32, 32)

    def layer(x: Tensor, number: int, stride: int) -> Tensor:
        stem = f"prompt_encoder.mask_downscaling.{number}"
        return F.conv3d(x, theirs[f"{stem}.weight"], theirs[f"{stem}.bias"], stride)

    def norm(x: Tensor, number: int) -> Tensor:
        stem = f"prompt_encoder.mask_downscaling.{number}"
        mean = x.mean(1, keepdim=True)
        scaled = (x - mean) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        shape = (1, -1, 1, 1, 1)
        weight, bias = theirs[f"{stem}.weight"], theirs[f"{stem}.bias"]
        return scaled * weight.view(shape) + bias.view(shape)

    expected = F.gelu(norm(layer(logits, 0, 2), 1))
    expected = layer(F.gelu(norm(layer(expected, 3, 2), 4)), 6, 1)
    encoder = network.prompt_encoder
    ours = encoder.mask_bias(encoder.mask_features(logits))

    torch.testing.assert_close(ours, expected.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-5)
