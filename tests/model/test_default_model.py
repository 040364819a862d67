from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_fastsam3d.model.default import predictor as pyramid_predictor
from napari_fastsam3d.model.default.judge import MaskJudge
from napari_fastsam3d.model.default.network import grown
from napari_fastsam3d.model.default.predictor import PyramidPredictor, surest_place
from napari_fastsam3d.model.default.prompt_maps import (
    affinity_map,
    box_map,
    click_map,
    contrast_map,
    geodesic_map,
    similarity_map,
)
from napari_fastsam3d.model.default.prompts import Prompts

GRID = (16, 16, 16)
BOX = np.array([[8, 8, 8], [40, 40, 40]], np.float32)
NO_POINTS = np.zeros((0, 3), np.float32), np.zeros(0, int)


def crop(size=64, seed=0):
    return torch.randn(1, 1, size, size, size, generator=torch.Generator().manual_seed(seed))


def prompts(points, labels, size=64, box=None, previous=None):
    return Prompts(
        torch.tensor([points], dtype=torch.float32),
        torch.tensor([labels]),
        torch.full((1, 2, 3), torch.nan) if box is None else torch.tensor([box]),
        torch.zeros(1, 1, size // 4, size // 4, size // 4) if previous is None else previous,
    )


@pytest.mark.parametrize("size", [64, 128])
def test_shapes_of_the_interface(tiny_predictor, size):
    encoded = tiny_predictor.encode(crop(size))
    cells = size // 16
    assert encoded.embedding.shape == (1, 16, cells, cells, cells)
    points, labels = torch.tensor([[[10.0, 20, 30]]]), torch.tensor([[1]])
    logits, predicted_iou = tiny_predictor.decode(encoded, points, labels)
    assert logits.shape == (1, 1, size // 4, size // 4, size // 4)
    assert predicted_iou.shape == (1, 1)
    assert 0 <= predicted_iou.item() <= 1
    again, _ = tiny_predictor.decode(encoded, points, labels, logits)
    assert not torch.equal(again, logits)


def test_a_segmentation_has_the_finer_grid(tiny_predictor):
    encoded = tiny_predictor.encode(crop())
    answer = tiny_predictor.segment(
        encoded, np.array([[3.0, 4, 5]], np.float32), np.array([1]), None, None
    )
    assert answer.low_res_logits.shape == (16, 16, 16)
    assert answer.mask_logits.shape == (32, 32, 32)
    assert answer.low_res_logits.dtype == answer.mask_logits.dtype == np.float32


def test_a_box_alone_is_a_prompt(tiny_predictor):
    encoded = tiny_predictor.encode(crop())
    nothing = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    small = np.array([[10, 10, 10], [20, 20, 20]], np.float32)
    one = tiny_predictor.segment(encoded, *nothing, small, None)
    two = tiny_predictor.segment(encoded, *nothing, small + 20, None)
    assert not np.array_equal(one.mask_logits, two.mask_logits)


def test_equal_input_gives_equal_bits(tiny_predictor):
    first, second = (
        tiny_predictor.segment(
            tiny_predictor.encode(crop()),
            np.array([[3.0, 4, 5], [40, 30, 20]], np.float32),
            np.array([1, 0]),
            None,
            None,
        )
        for _ in range(2)
    )
    assert np.array_equal(first.mask_logits, second.mask_logits)
    assert first.predicted_iou == second.predicted_iou


def test_padding_points_change_nothing(tiny_predictor):
    encoded = tiny_predictor.encode(crop())
    decoder = tiny_predictor.network.decoder
    with torch.inference_mode():
        alone = decoder(encoded, prompts([[9.0, 8, 7]], [1]))
        padded = decoder(encoded, prompts([[9.0, 8, 7], [50, 50, 50]], [1, -1]))
    torch.testing.assert_close(padded.mask_logits, alone.mask_logits)
    torch.testing.assert_close(padded.predicted_iou, alone.predicted_iou)


def test_the_order_of_points_changes_nothing(tiny_predictor):
    encoded = tiny_predictor.encode(crop())
    points, labels = [[9.0, 8, 7], [30, 31, 32], [50, 11, 5]], [1, 0, 1]
    with torch.inference_mode():
        one = tiny_predictor.network.decoder(encoded, prompts(points, labels))
        two = tiny_predictor.network.decoder(encoded, prompts(points[::-1], labels[::-1]))
    torch.testing.assert_close(one.mask_logits, two.mask_logits, atol=1e-4, rtol=1e-4)


def test_a_click_map_peaks_at_its_click():
    said = prompts([[20.0, 31, 42], [50, 5, 6]], [1, 0])
    near = click_map(said.clicks(1), GRID, 4, 2.5)[0]
    assert np.unravel_index(near.argmax(), near.shape) == (5, 7, 10)
    far = click_map(said.clicks(0), GRID, 4, 2.5)[0]
    assert np.unravel_index(far.argmax(), far.shape) == (12, 1, 1)
    assert click_map(prompts([[1.0, 1, 1]], [0]).clicks(1), GRID, 4, 2.5).abs().max() == 0


def test_a_click_map_is_the_gaussian_it_says():
    near = click_map(prompts([[20.0, 31, 42]], [1]).clicks(1), GRID, 4, 3.0)[0]
    centre = np.array([5, 7, 9]) * 4 + 1.5
    distance = ((centre - (20, 31, 42)) ** 2).sum()
    assert near[5, 7, 9].item() == pytest.approx(np.exp(-distance / 18), rel=1e-5)


def test_a_box_map_is_positive_inside_only():
    shown = box_map(torch.tensor([[[16.0, 16, 16], [31, 39, 47]]]), GRID, 4)[0]
    inside = torch.zeros(16, 16, 16, dtype=torch.bool)
    inside[4:8, 4:10, 4:12] = True
    assert (shown[inside] > 0).all()
    assert (shown[~inside] < 0).all()
    assert (box_map(torch.full((1, 2, 3), torch.nan), GRID, 4) == 0).all()


def test_the_surest_place_of_a_box_lies_in_it_where_most_is_predicted():
    logits = np.full((32, 32, 32), -6, np.float32)
    logits[20:30, 10:20, 4:14] = 6
    logits[0:10, 0:10, 0:10] = 6  # outside the box
    box = np.array([[36, 16, 4], [63, 63, 63]], np.float32)
    i, j, k = surest_place(logits, box, 64)
    assert 44 <= i < 56
    assert 24 <= j < 36
    assert 12 <= k < 24
    nothing = np.array([[70, 70, 70], [80, 90, 100]], np.float32)
    assert surest_place(logits, nothing, 64).tolist() == [75, 80, 85]


def test_affinity_is_one_at_the_click_and_minus_one_without():
    keys = torch.nn.functional.normalize(torch.randn(1, 2, 4, 16**3), dim=2)
    said = prompts([[20.0, 31, 42]], [1])
    shown = affinity_map(keys, said.clicks(1), GRID, 4)
    assert shown.shape == (1, 2, 16, 16, 16)
    torch.testing.assert_close(shown[0, :, 5, 7, 10], torch.ones(2))
    assert (affinity_map(keys, said.clicks(0), GRID, 4) == -1).all()


def test_samples_of_a_batch_keep_their_own_clicks():
    """Whatever is drawn for many samples at once is what is drawn for each by itself."""
    points = torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(1)) * 63
    labels = torch.tensor([[1, 0, 1, -1], [-1, 0, -1, 0], [1, 1, 1, 1]])
    keys = torch.nn.functional.normalize(torch.randn(3, 2, 4, 16**3), dim=2)
    intensity = torch.randn(3, 16, 16, 16)
    empty = torch.full((3, 2, 3), torch.nan), torch.zeros(3, 1, 16, 16, 16)
    for label in (1, 0):
        together = Prompts(points, labels, *empty).clicks(label)
        for b in range(3):
            own = labels[b] == label
            here = slice(b, b + 1)
            alone = Prompts(points[here, own], labels[here, own], empty[0][here], empty[1][here])
            assert together.present[b] == own.any()
            if not own.any():
                continue
            clicks = alone.clicks(label)
            assert torch.equal(
                click_map(together, GRID, 4, 9.0)[b], click_map(clicks, GRID, 4, 9.0)[0]
            )
            torch.testing.assert_close(
                affinity_map(keys, together, GRID, 4)[b],
                affinity_map(keys[here], clicks, GRID, 4)[0],
            )
            assert torch.equal(
                contrast_map(intensity, together, intensity)[b],
                contrast_map(intensity[here], clicks, intensity[here])[0],
            )


def test_bfloat16_stays_near_float32(tiny_predictor):
    fast = in_bfloat16(tiny_predictor)
    said = np.array([[3.0, 4, 5]], np.float32), np.array([1]), None, None
    exact = tiny_predictor.segment(tiny_predictor.encode(crop()), *said)
    rounded = fast.segment(fast.encode(crop()), *said)
    scale = np.abs(exact.mask_logits).max()
    assert np.abs(exact.mask_logits - rounded.mask_logits).max() < 0.1 * scale


def in_bfloat16(predictor):
    """Give a predictor of the same weights, which are its own."""
    network = deepcopy(predictor.network)
    return PyramidPredictor(network, "fast", predictor.device, torch.bfloat16, "0" * 64)


def test_similarity_is_one_where_the_intensity_is_the_clicked_one():
    intensity = torch.zeros(1, 16, 16, 16)
    intensity[0, 5, 7, 10] = 2.0
    said = prompts([[20.0, 31, 42], [0, 0, 0]], [1, 0])
    alike = similarity_map(contrast_map(intensity, said.clicks(1), intensity), 0.5)[0]
    assert alike[5, 7, 10] == 1
    assert alike[0, 0, 0].item() == pytest.approx(np.exp(-8), rel=1e-4)
    nothing = prompts([[1.0, 1, 1]], [0]).clicks(1)
    assert (similarity_map(contrast_map(intensity, nothing, intensity), 0.5) == 0).all()


def test_reach_stops_at_what_is_unlike():
    """Two like regions with an unlike wall between: the seed fills its own side only."""
    similarity = torch.ones(1, 12, 12, 12)
    similarity[0, 6] = 0
    seeds = torch.zeros(1, 12, 12, 12)
    seeds[0, 2, 5, 5] = 1
    reach = geodesic_map(similarity, seeds, steps=12)
    assert (reach[0, :6] == 1).all()
    assert (reach[0, 6:] == 0).all()


def test_reach_is_dimmed_by_every_cell_on_the_way():
    similarity = torch.full((1, 8, 8, 8), 0.5)
    seeds = torch.zeros(1, 8, 8, 8)
    seeds[0, 0, 0, 0] = 1
    reach = geodesic_map(similarity, seeds, steps=3)
    assert [reach[0, i, 0, 0].item() for i in range(5)] == [0.5, 0.25, 0.125, 0.0625, 0]


def test_a_network_trained_without_maps_of_similarity_goes_on_with_them_where_it_was(
    tiny_predictor,
):
    from napari_fastsam3d.model.default.network import PyramidNetwork

    torch.manual_seed(1)
    network = PyramidNetwork(tiny_predictor.network.config).eval()
    said = prompts([[20.0, 31, 42]], [1])
    with torch.inference_mode():
        pyramid = network.encoder(crop())
        shown = network.decoder(pyramid, said)
        network.decoder.similarity_maps = False
        hidden = network.decoder(pyramid, said)
        assert torch.equal(shown.mask_logits, hidden.mask_logits)
        network.decoder.skip_middle.weight.fill_(0.1)
        assert not torch.equal(network.decoder(pyramid, said).mask_logits, hidden.mask_logits)


def test_a_box_alone_is_read_with_a_point_where_it_is_surest_and_the_mask_fed_back(
    tiny_predictor, monkeypatch
):
    monkeypatch.setattr(pyramid_predictor, "TRUSTED", 0.0)
    encoded = tiny_predictor.encode(crop())

    def average(place, previous):
        one = tiny_predictor.segment(encoded, np.array([place]), np.array([1]), BOX, previous)
        other = tiny_predictor._answer(encoded, *NO_POINTS, BOX, previous)
        return (one.low_res_logits + other.low_res_logits) / 2, (
            one.mask_logits + other.mask_logits
        ) / 2

    _, middle = average(np.array([24, 24, 24], np.float32), None)
    place = surest_place(middle, BOX, 64)
    low, _ = average(place, None)
    low, fine = average(place, low)
    alone = tiny_predictor.segment(encoded, *NO_POINTS, BOX, None)
    assert np.allclose(alone.mask_logits, fine, atol=1e-5)
    assert np.allclose(alone.low_res_logits, low, atol=1e-5)
    with_point = tiny_predictor.segment(encoded, np.array([place]), np.array([1]), BOX, None)
    assert not np.allclose(with_point.mask_logits, alone.mask_logits, atol=1e-2)


def test_a_point_with_which_a_box_shows_something_else_is_not_trusted(tiny_predictor, monkeypatch):
    monkeypatch.setattr(pyramid_predictor, "TRUSTED", 1.1)
    encoded = tiny_predictor.encode(crop())
    first = tiny_predictor._answer(encoded, *NO_POINTS, BOX, None)
    wanted = tiny_predictor._answer(encoded, *NO_POINTS, BOX, first.low_res_logits)
    assert np.array_equal(
        tiny_predictor.segment(encoded, *NO_POINTS, BOX, None).mask_logits, wanted.mask_logits
    )
    fed = np.full((16, 16, 16), 8, np.float32)
    wanted = tiny_predictor._answer(encoded, *NO_POINTS, BOX, fed)
    assert np.array_equal(
        tiny_predictor.segment(encoded, *NO_POINTS, BOX, fed).mask_logits, wanted.mask_logits
    )


def test_a_box_with_a_mask_is_read_with_a_point_where_the_mask_is_surest(
    tiny_predictor, monkeypatch
):
    monkeypatch.setattr(pyramid_predictor, "TRUSTED", 0.0)
    encoded = tiny_predictor.encode(crop())
    mask = np.full((16, 16, 16), -8, np.float32)
    mask[2:9, 3:10, 1:8] = 8
    place = surest_place(mask, BOX, 64)
    assert np.abs(place - np.array([21.5, 25.5, 17.5])).max() <= 4
    told = tiny_predictor.segment(encoded, place[None], np.array([1]), BOX, mask)
    assert np.array_equal(
        tiny_predictor.segment(encoded, *NO_POINTS, BOX, mask).mask_logits, told.mask_logits
    )
    # A mask that lies elsewhere tells no place in the box.
    elsewhere = np.roll(mask, 8, (0, 1, 2))
    own = tiny_predictor.segment(encoded, *NO_POINTS, BOX, elsewhere)
    corner = np.array([[9.5, 9.5, 9.5]], np.float32)
    wrong = tiny_predictor.segment(encoded, corner, np.array([1]), BOX, elsewhere)
    assert not np.allclose(own.mask_logits, wrong.mask_logits, atol=1e-3)


@torch.no_grad()
def test_features_of_one_encoder_are_comparable_whatever_decodes_them(tiny_predictor):
    def told(network, dtype=torch.float32):
        predictor = PyramidPredictor(network, "other", torch.device("cpu"), dtype, "")
        return predictor.encoder_fingerprint

    ours = tiny_predictor.encoder_fingerprint
    assert told(deepcopy(tiny_predictor.network), torch.bfloat16) == ours
    decoded_otherwise, seen_otherwise = (deepcopy(tiny_predictor.network) for _ in range(2))
    next(decoded_otherwise.decoder.parameters()).add_(1)
    next(seen_otherwise.encoder.parameters()).add_(1)
    assert told(decoded_otherwise) == ours
    assert told(seen_otherwise) != ours


def test_a_grown_network_computes_the_same_and_can_learn_more(tiny_predictor):
    network = tiny_predictor.network
    config = replace(network.config, depth=3, blocks=(2, 1, 3))
    larger = grown(network, config)
    image = crop(32)
    with torch.no_grad():
        wanted, got = network.encoder(image), larger.encoder(image)
    assert torch.allclose(wanted.fine, got.fine, atol=1e-5)
    assert torch.allclose(wanted.embedding, got.embedding, atol=1e-5)
    larger.requires_grad_(True).encoder(image).embedding.square().sum().backward()
    assert larger.encoder.transformer[2].mlp[2].weight.grad.abs().max() > 0
    assert larger.encoder.down_coarse[2].conv2.conv.weight.grad.abs().max() > 0
    with pytest.raises(ValueError, match="grows by blocks"):
        grown(network, replace(network.config, width=32))


def test_candidates_leave_the_main_mask_as_it_was(tiny_predictor):
    network = tiny_predictor.network
    larger = grown(network, replace(network.config, candidates=3))
    told = prompts([[20, 30, 40], [12, 12, 50]], [1, 0])
    with torch.no_grad():
        wanted = network.decoder(network.encoder(crop()), told)
        got = larger.decoder(larger.encoder(crop()), told)
    assert wanted.candidates is None
    assert torch.allclose(got.mask_logits, wanted.mask_logits, atol=1e-5)
    assert got.candidates.low_res_logits.shape == (1, 3, 16, 16, 16)
    assert got.candidates.mask_logits.shape == (1, 3, 32, 32, 32)
    assert got.candidates.predicted_iou.shape == (1, 3)
    one, two, three = got.candidates.mask_logits[0]
    assert not torch.allclose(one, two)
    assert not torch.allclose(two, three)


def test_each_candidate_learns_from_its_own_mask(tiny_predictor):
    network = tiny_predictor.network
    larger = grown(network, replace(network.config, candidates=2)).requires_grad_(True)
    masks = larger.decoder(larger.encoder(crop()), prompts([[20, 30, 40]], [1]))
    masks.candidates.mask_logits[:, 1].square().mean().backward()
    first, second = larger.decoder.candidates.tokens.weight.grad
    assert not first.any()
    assert second.any()


def test_samples_that_share_a_crop_are_answered_as_if_each_had_its_own(tiny_predictor):
    network = tiny_predictor.network
    larger = grown(network, replace(network.config, candidates=2))
    random = torch.Generator().manual_seed(4)
    told = Prompts(
        torch.rand(4, 3, 3, generator=random) * 60,
        torch.tensor([[1, 0, -1], [1, 1, 0], [0, -1, -1], [1, -1, -1]]),
        torch.full((4, 2, 3), torch.nan),
        torch.randn(4, 1, 16, 16, 16, generator=random),
    )
    with torch.no_grad():
        pyramid = larger.encoder(torch.cat([crop(), crop(seed=1)]))
        shared = larger.decoder(pyramid, told)
        apart = larger.decoder(pyramid.for_samples(4), told)
    assert torch.allclose(shared.mask_logits, apart.mask_logits, atol=1e-5)
    assert torch.allclose(shared.candidates.mask_logits, apart.candidates.mask_logits, atol=1e-5)
    assert not torch.allclose(shared.mask_logits[0], shared.mask_logits[1])


def judged(masks, seed=0):
    torch.manual_seed(seed)
    judge = MaskJudge(16, 8)
    tokens, features = torch.randn(1, masks.shape[1], 16), torch.randn(1, 8, 8, 8, 8)
    return judge(tokens, features, masks)


def test_a_judge_tells_masks_apart_that_have_equal_tokens():
    torch.manual_seed(1)
    judge = MaskJudge(16, 8)
    tokens, features = torch.randn(1, 1, 16).expand(1, 3, 16), torch.randn(1, 8, 8, 8, 8)
    masks = torch.full((1, 3, 8, 8, 8), -6.0)
    masks[0, 0, 2:4, 2:4, 2:4] = 6
    masks[0, 1, 1:7, 1:7, 1:7] = 6
    masks[0, 2] = 0.3
    predicted_iou = judge(tokens, features, masks)
    assert predicted_iou.shape == (1, 3)
    assert len({round(value, 5) for value in predicted_iou[0].tolist()}) == 3


def test_a_judge_stands_by_an_empty_and_a_full_mask():
    for fill in (-80.0, 80.0):
        predicted_iou = judged(torch.full((1, 2, 8, 8, 8), fill))
        assert predicted_iou.isfinite().all()
        assert ((predicted_iou >= 0) & (predicted_iou <= 1)).all()


def test_a_judge_teaches_masks_nothing():
    torch.manual_seed(2)
    judge = MaskJudge(16, 8)
    tokens = torch.randn(1, 2, 16, requires_grad=True)
    features = torch.randn(1, 8, 8, 8, 8, requires_grad=True)
    masks = torch.randn(1, 2, 8, 8, 8, requires_grad=True)
    judge(tokens, features, masks).sum().backward()
    assert tokens.grad is features.grad is masks.grad is None
    assert judge.hidden.weight.grad.abs().max() > 0
