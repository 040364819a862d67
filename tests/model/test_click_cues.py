from dataclasses import replace

import pytest
import torch

from napari_fastsam3d.model.click_cues import ClickCueReader
from napari_fastsam3d.model.pyramid import grown
from napari_fastsam3d.model.pyramid_prompts import Prompts

SIZE = 64


def image(batch=1):
    numbers = torch.Generator().manual_seed(0)
    return torch.randn(batch, 1, SIZE, SIZE, SIZE, generator=numbers)


def prompts(points, labels, previous=None):
    batch = len(points)
    cells = SIZE // 4
    if previous is None:
        previous = torch.zeros(batch, 1, cells, cells, cells)
    boxes = torch.full((batch, 2, 3), torch.nan)
    return Prompts(torch.tensor(points), torch.tensor(labels), boxes, previous)


ONE = prompts([[[20.0, 31, 42]]], [[1]])


@pytest.fixture
def reader(tiny_predictor):
    made = ClickCueReader(tiny_predictor.network.config)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.fixture
def read(reader, tiny_predictor):
    def run(said, batch=1, sample=None):
        images = image(batch) if sample is None else image(batch)[sample : sample + 1]
        with torch.no_grad():
            cues = reader(tiny_predictor.network.encoder(images), said)
        return [cue for cue in cues if cue is not None]

    return run


def test_cues_begin_as_nothing_and_learn(tiny_predictor):
    config = replace(tiny_predictor.network.config, click_cues=True)
    network = grown(tiny_predictor.network, config).requires_grad_(False)
    with torch.no_grad():
        pyramid = network.encoder(image())
        wanted = tiny_predictor.network.decoder(pyramid, ONE)
        assert torch.allclose(network.decoder(pyramid, ONE).fine, wanted.fine, atol=1e-5)
    reader = network.decoder.reader.requires_grad_(True)
    masks = network.decoder(pyramid, ONE)
    (masks.fine.square().mean() + masks.low.square().mean()).backward()
    for layer in (
        reader.points,
        *(part[2] for part in (reader.tokens, reader.coarse, reader.middle, reader.fine)),
    ):
        assert layer.weight.grad.abs().max() > 0


def test_cues_have_the_shapes_of_the_features(read):
    points, tokens, coarse, middle, fine = read(ONE)
    assert points.shape == (1, 1, 16)
    assert tokens.shape == (1, 64, 16)
    assert coarse.shape == (1, 8, 8, 8, 8)
    assert middle.shape == (1, 16, 16, 16, 8)
    assert fine.shape == (1, 32, 32, 32, 4)


def test_samples_of_a_batch_keep_their_own_clicks_and_masks(read):
    points = [[[20.0, 31, 42], [5, 6, 7]], [[50.0, 11, 9], [30, 30, 30]]]
    labels = [[1, 0], [1, -1]]
    previous = torch.zeros(2, 1, 16, 16, 16)
    previous[0, 0, 2:6, 4:9, 8:12] = 5.0
    together = read(prompts(points, labels, previous), batch=2)
    for number in (0, 1):
        here = slice(number, number + 1)
        alone = read(prompts(points[here], labels[here], previous[here]), 2, number)
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[number], other[0], atol=1e-4, rtol=1e-4)


def test_padding_and_the_order_of_clicks_change_no_map(read):
    wanted = read(prompts([[[20.0, 31, 42], [5, 6, 7]]], [[1, 0]]))
    for points, labels in (
        ([[[5.0, 6, 7], [20, 31, 42]]], [[0, 1]]),
        ([[[20.0, 31, 42], [60, 60, 60], [5, 6, 7]]], [[1, -1, 0]]),
    ):
        for one, other in zip(wanted[1:], read(prompts(points, labels))[1:], strict=True):
            torch.testing.assert_close(one, other)


def test_a_mask_fed_back_is_read(read):
    previous = torch.full((1, 1, 16, 16, 16), -5.0)
    previous[0, 0, 2:6, 4:9, 8:12] = 5.0
    without, told = read(ONE), read(prompts([[[20.0, 31, 42]]], [[1]], previous))
    assert torch.equal(without[0], told[0])
    assert not torch.allclose(without[-1], told[-1])
