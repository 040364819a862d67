from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_fastsam3d.model.default.box_features import BoxFeatureEncoder, frame, likeness
from napari_fastsam3d.model.default.network import PyramidNetwork, grown
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.default.prompts import Prompts

BOX = torch.tensor([[[16.0, 16, 16], [31, 39, 47]]])
NO_BOX = torch.full((1, 2, 3), torch.nan)


def image(seed=0, batch=1, size=64):
    return torch.randn(batch, 1, size, size, size, generator=torch.Generator().manual_seed(seed))


def inside(size=16, cell=4):
    cells = torch.zeros(1, size, size, size, dtype=torch.bool)
    cells[0, 16 // cell : 32 // cell, 16 // cell : 40 // cell, 16 // cell : 48 // cell] = True
    return cells


@pytest.fixture
def reading(tiny_predictor):
    """Give a network whose decoder for boxes begins as the other one, on `grown`."""
    config = replace(tiny_predictor.network.config, box_decoder=True)
    return grown(tiny_predictor.network, config).eval()


def told(box, size=16):
    return Prompts(
        torch.zeros(len(box), 1, 3),
        torch.full((len(box), 1), -1),
        box,
        torch.zeros(len(box), 1, size, size, size),
    )


def predictor(network):
    return PyramidPredictor(network, "boxes", torch.device("cpu"), torch.float32, "0" * 64)


def test_a_frame_tells_where_in_the_box_a_cell_lies():
    seen = frame(BOX, 16, 4)
    gaussian, far, *along = seen.maps[0]
    assert seen.maps.shape == (1, 5, 16, 16, 16)
    middle = np.array([47, 55, 63]) / 2
    half = np.array([8, 12, 16])
    away = np.abs(np.array([5, 8, 2]) * 4 + 1.5 - middle) / half
    assert [a[5, 8, 2].item() for a in along] == pytest.approx(away.clip(max=2), rel=1e-5)
    assert far[5, 8, 2].item() == pytest.approx(away.max().clip(max=2), rel=1e-5)
    assert gaussian[5, 8, 2].item() == pytest.approx(np.exp(-(away**2).sum()), rel=1e-5)


def test_what_lies_within_and_what_lies_around_are_told_apart():
    seen = frame(BOX, 16, 4)
    assert torch.equal(seen.within > 0, inside())
    assert (seen.around[inside()] == 0).all()
    assert seen.around[0, 6, 6, 12] == 1
    assert seen.around[0, 6, 6, 15] == 0


def test_likeness_is_the_product_with_the_mean_of_a_side():
    keys = torch.nn.functional.normalize(torch.randn(2, 3, 4, 8**3), dim=2)
    side = torch.rand(2, 8, 8, 8)
    alike = likeness(keys, [side, torch.zeros_like(side)])
    assert alike.shape == (2, 6, 8, 8, 8)
    weights = side.flatten(1) / side.flatten(1).sum(1, keepdim=True)
    mean = (keys * weights[:, None, None]).sum(-1)
    wanted = torch.einsum("bhc,bhcn->bhn", mean, keys).unflatten(2, (8, 8, 8))
    torch.testing.assert_close(alike[:, :3], wanted)
    assert (alike[:, 3:] == 0).all()


def test_box_features_begin_as_nothing(tiny_predictor):
    reader = BoxFeatureEncoder(tiny_predictor.network.config)
    with torch.no_grad():
        features = reader(tiny_predictor.network.encoder(image()), BOX)
    assert features.tokens.shape == (1, 64, 16)
    assert features.coarse.shape == (1, 8, 8, 8, 8)
    assert features.middle.shape == (1, 16, 16, 16, 8)
    assert features.fine.shape == (1, 32, 32, 32, 4)
    assert all((each == 0).all() for each in features)


def test_samples_of_a_batch_keep_their_own_boxes(tiny_predictor):
    reader = BoxFeatureEncoder(tiny_predictor.network.config)
    for parameter in reader.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    encoder = tiny_predictor.network.encoder
    with torch.no_grad():
        together = reader(encoder(image(batch=3)), torch.cat([BOX, NO_BOX, BOX + 8]))
        for number, box in ((0, BOX), (2, BOX + 8)):
            alone = reader(encoder(image(batch=3)[number : number + 1]), box)
            for one, other in zip(together, alone, strict=True):
                torch.testing.assert_close(one[number], other[0], atol=1e-4, rtol=1e-4)
    assert all((each[1] == 0).all() for each in together)
    assert not torch.allclose(together.fine[0], together.fine[2])


def test_a_decoder_for_boxes_begins_as_the_other_and_leaves_clicks_alone(reading):
    with torch.no_grad():
        pyramid = reading.encoder(image())
        wanted = reading.decoder(pyramid, told(BOX))
        assert torch.allclose(
            reading.box_decoder(pyramid, told(BOX)).mask_logits, wanted.mask_logits, atol=1e-5
        )
    run = predictor(reading)
    encoded = run.encode(image())
    point = np.array([[20.0, 20, 20]], np.float32), np.array([1])
    box = BOX[0].numpy()
    before = run.segment(encoded, *point, None, None), run.segment(encoded, *point, box, None)
    torch.nn.init.normal_(reading.box_decoder.box_cues.middle[2].weight, std=0.5)
    run = predictor(reading)
    after = run.segment(encoded, *point, None, None), run.segment(encoded, *point, box, None)
    assert np.array_equal(before[0].mask_logits, after[0].mask_logits)
    assert not np.allclose(before[1].mask_logits, after[1].mask_logits, atol=1e-3)


def test_a_box_is_read_once_a_look(reading):
    torch.nn.init.normal_(reading.box_decoder.box_cues.middle[2].weight, std=0.5)
    run, box, readings = predictor(reading), BOX[0].numpy(), []
    reading.box_decoder.box_cues.register_forward_hook(lambda *_: readings.append(1))
    one, other = run.encode(image()), run.encode(image(1))
    none, click = (np.zeros((0, 3), np.float32), np.zeros(0, int)), (box[:1], np.array([0]))
    first = run.segment(one, *none, box, None)
    clicked = run.segment(one, *click, box, first.low_res_logits)
    assert len(readings) == 1
    elsewhere = run.segment(other, *none, box, None)
    tighter = run.segment(other, *none, box - 2, None)
    assert len(readings) == 3
    for encoded, prompts, asked, fed, got in (
        (one, click, box, first.low_res_logits, clicked),
        (other, none, box, None, elsewhere),
        (other, none, box - 2, None, tighter),
    ):
        afresh = predictor(reading).segment(encoded, *prompts, asked, fed)
        assert np.array_equal(afresh.mask_logits, got.mask_logits)


def test_box_features_learn_from_nothing(reading):
    reading.requires_grad_(False)
    reading.box_decoder.box_cues.requires_grad_(True)
    pyramid = reading.encoder(image())
    masks = reading.box_decoder(pyramid, told(BOX))
    (masks.mask_logits.square().mean() + masks.low_res_logits.square().mean()).backward()
    last = reading.box_decoder.box_cues
    for layer in (last.corners, last.tokens[2], last.coarse[2], last.middle[2], last.fine[2]):
        assert layer.weight.grad.abs().max() > 0


def test_a_network_of_its_own_has_both_decoders(tiny_predictor):
    config = replace(tiny_predictor.network.config, box_decoder=True)
    names = PyramidNetwork(config).state_dict()
    twins = [name for name in names if name.startswith("decoder.")]
    assert all(f"box_{name}" in names for name in twins)
    assert not any(name.startswith("decoder.box_cues") for name in names)
