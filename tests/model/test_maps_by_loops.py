"""Maps of prompts and of boxes, against loops and scipy in double precision."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.model.default.box_features import AROUND, frame, likeness, mean_key
from napari_fastsam3d.model.default.judge import _plain_features, _pooled
from napari_fastsam3d.model.default.likelihood_ratio import BINS, LARGEST, RARE, LikelihoodRatio
from napari_fastsam3d.model.default.prompt_maps import (
    _largest_around,
    affinity_map,
    box_map,
    cell_of,
    centres_of,
    click_map,
    contrast_map,
    geodesic_map,
    similarity_map,
)
from napari_fastsam3d.model.default.prompts import Prompts

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = (4, 3, 5)
few = settings(max_examples=20)


def numbers(seed):
    return np.random.default_rng(seed)


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array)).float()


def prompts(seed, samples=2, places=4, reach=20):
    """Clicks here and there, some beyond the crop, labels of all kinds, some boxes."""
    rng = numbers(seed)
    boxes = np.sort(rng.uniform(-2, reach, (samples, 2, 3)), axis=1)
    boxes[rng.random(samples) < 0.3] = np.nan
    return Prompts(
        tensor(rng.uniform(-2, reach, (samples, places, 3))),
        torch.from_numpy(rng.integers(-1, 2, (samples, places))),
        tensor(boxes),
        torch.zeros(samples, 1, 2, 2, 2),
    )


def centre(cell, size):
    return np.array(cell) * size + (size - 1) / 2


def cells(shape=SHAPE):
    return product(*map(range, shape))


@few
@given(SEEDS, st.sampled_from([2, 4, 8, 16]))
def test_a_cell_is_the_nearest_one(seed, size):
    points = numbers(seed).uniform(-10, 90, (3, 4, 3))
    found = cell_of(tensor(points), SHAPE, size)
    for sample, number in product(range(3), range(4)):
        away = {cell: np.abs(centre(cell, size) - points[sample, number]) for cell in cells()}
        at = np.unravel_index(int(found[sample, number]), SHAPE)
        for axis in range(3):
            assert away[at][axis] <= min(a[axis] for a in away.values()) + 1e-4


@pytest.mark.parametrize("size", [1, 2, 4, 16])
def test_centres_are_the_means_of_the_voxels_of_cells(size):
    found = centres_of(5, size, torch.device("cpu")).numpy()
    assert found.tolist() == np.arange(5 * size).reshape(5, size).mean(1).tolist()


@few
@given(SEEDS, st.sampled_from([0, 1]))
def test_clicks_of_a_label_are_those_of_the_sample(seed, label):
    given_ = prompts(seed)
    clicks = given_.clicks(label)
    assert clicks.any == bool((given_.labels == label).any())
    for sample in range(2):
        own = given_.points[sample][given_.labels[sample] == label]
        assert clicks.present[sample] == (len(own) > 0)
        if len(own):
            found = {tuple(point.tolist()) for point in clicks.points[sample]}
            assert found == {tuple(point.tolist()) for point in own}


@few
@given(SEEDS, st.floats(1, 10))
def test_a_click_map_is_the_largest_of_gaussians(seed, sigma):
    given_ = prompts(seed)
    found = click_map(given_.clicks(1), SHAPE, 4, sigma)
    for sample in range(2):
        own = given_.points[sample][given_.labels[sample] == 1].numpy().astype(np.float64)
        for cell in cells():
            away = ((centre(cell, 4) - own) ** 2).sum(1)
            wanted = np.exp(-away / (2 * sigma**2)).max() if len(own) else 0
            assert found[(sample, *cell)].item() == pytest.approx(wanted, abs=1e-5)


@few
@given(SEEDS, st.sampled_from([2, 4]))
def test_a_box_map_is_the_depth_below_its_nearest_face(seed, size):
    given_ = prompts(seed, samples=3)
    found = box_map(given_.box, SHAPE, size)
    for sample, (low, high) in enumerate(given_.box.numpy().astype(np.float64)):
        for cell in cells():
            at = centre(cell, size)
            depth = min((at - (low - 0.5)).min(), (high + 0.5 - at).min())
            wanted = 0 if np.isnan(low).any() else np.tanh(depth / size)
            assert found[(sample, *cell)].item() == pytest.approx(wanted, abs=1e-5)


@few
@given(SEEDS, st.sampled_from([1, 2]))
def test_affinity_is_the_largest_cosine_to_a_clicked_cell(seed, crops):
    given_ = prompts(seed)
    keys = numbers(seed).normal(size=(crops, 2, 3, *SHAPE))
    keys /= np.linalg.norm(keys, axis=2, keepdims=True)
    found = affinity_map(tensor(keys).flatten(3), given_.clicks(0), SHAPE, 4)
    for sample in range(2):
        own = keys[sample * crops // 2]
        clicked = given_.points[sample][given_.labels[sample] == 0]
        at = [np.unravel_index(int(n), SHAPE) for n in cell_of(clicked, SHAPE, 4)]
        cosines = [np.einsum("hcijk,hc->hijk", own, own[:, :, i, j, k]) for i, j, k in at]
        wanted = np.max(cosines, axis=0) if at else np.full((2, *SHAPE), -1.0)
        np.testing.assert_allclose(found[sample], wanted, atol=1e-5)


@few
@given(SEEDS, st.sampled_from([1, 2]), st.floats(0.1, 2))
def test_contrast_is_the_least_difference_to_a_clicked_cell(seed, crops, tolerance):
    given_ = prompts(seed)
    middle, fine = (numbers(seed + n).normal(size=(crops, *SHAPE)) for n in (0, 1))
    found = contrast_map(tensor(fine), given_.clicks(1), tensor(middle))
    alike = similarity_map(found, tolerance)
    for sample in range(2):
        crop = sample * crops // 2
        clicked = given_.points[sample][given_.labels[sample] == 1]
        at = [np.unravel_index(int(n), SHAPE) for n in cell_of(clicked, SHAPE, 4)]
        values = np.array([middle[(crop, *place)] for place in at])
        if not at:
            assert torch.isinf(found[sample]).all()
            assert not alike[sample].any()
            continue
        apart = np.abs(fine[crop][..., None] - values).min(-1)
        np.testing.assert_allclose(found[sample], apart, atol=1e-5)
        wanted = np.exp(-(apart**2) / (2 * tolerance**2))
        np.testing.assert_allclose(alike[sample], wanted, atol=1e-5)


@few
@given(SEEDS)
def test_the_largest_around_is_scipy_s_maximum_filter(seed):
    maps = numbers(seed).random((2, *SHAPE)).astype(np.float32)
    found = _largest_around(torch.from_numpy(maps.copy()))
    for one, filtered in zip(maps, found, strict=True):
        assert np.array_equal(filtered, ndimage.maximum_filter(one, 3, mode="constant"))


@few
@given(SEEDS, st.integers(0, 5))
def test_reach_is_the_best_product_along_a_path(seed, steps):
    """By Bellman's rounds in double precision, a cell at a time."""
    rng = numbers(seed)
    similarity, seeds = rng.random(SHAPE), (rng.random(SHAPE) < 0.1).astype(float)
    best = seeds * similarity
    for _ in range(steps):
        spread = best.copy()
        for cell in cells():
            around = [
                best[other]
                for other in product(
                    *(range(max(0, n - 1), min(n + 2, SHAPE[a])) for a, n in enumerate(cell))
                )
            ]
            spread[cell] = max(best[cell], max(around) * similarity[cell])
        best = spread
    found = geodesic_map(tensor(similarity)[None], tensor(seeds)[None], steps)
    np.testing.assert_allclose(found[0], best, atol=1e-5)


@few
@given(SEEDS, st.sampled_from([2, 4, 8]))
def test_a_frame_is_measured_from_the_middle_of_its_box(seed, size):
    rng = numbers(seed)
    box = np.sort(rng.uniform(0, 8 * size, (2, 2, 3)), axis=1)
    found = frame(tensor(box), 6, size)
    for sample, (low, high) in enumerate(box):
        half = np.maximum(high - low + 1, 1) / 2
        for cell in list(cells((6, 6, 6)))[::7]:
            away = np.abs(centre(cell, size) - (low + high) / 2) / half
            if np.abs(away.max() - np.array([1, AROUND])).min() < 1e-4:
                continue
            at = (sample, *cell)
            wanted = [np.exp(-(away**2).sum()), min(away.max(), 2), *np.minimum(away, 2)]
            np.testing.assert_allclose(found.maps[sample][(slice(None), *cell)], wanted, atol=1e-4)
            assert found.within[at].item() == pytest.approx(wanted[0] * (away.max() <= 1), abs=1e-5)
            assert found.around[at].item() == (1 < away.max() < AROUND)


@few
@given(SEEDS)
def test_likeness_is_the_product_with_weighted_means(seed):
    rng = numbers(seed)
    keys, weights = rng.normal(size=(2, 3, 4, 60)), rng.random((2, *SHAPE))
    weights[1] = 0 if seed % 3 == 0 else weights[1]
    mean = mean_key(tensor(keys), tensor(weights))
    flat = weights.reshape(2, 1, 1, -1)
    wanted = (keys * flat).sum(-1) / np.maximum(flat.sum(-1), 1e-6)
    np.testing.assert_allclose(mean, wanted, atol=1e-5)
    alike = likeness(tensor(keys), (tensor(weights), tensor(1 - weights)))
    assert alike.shape == (2, 6, *SHAPE)
    products = np.einsum("bhc,bhcn->bhn", wanted, keys).reshape(2, 3, *SHAPE)
    np.testing.assert_allclose(alike[:, :3], products, atol=1e-4)


@few
@given(SEEDS)
def test_a_likelihood_ratio_is_that_of_two_smoothed_histograms(seed):
    rng = numbers(seed)
    intensity = rng.normal(0, 2.5, SHAPE)
    within, around = rng.random(SHAPE), rng.random(SHAPE)
    edges = np.linspace(-LARGEST, LARGEST, BINS + 1)
    inside = intensity.clip(-LARGEST, LARGEST - 1e-6)

    def histogram(weights):
        counts, _ = np.histogram(inside, edges, weights=weights)
        smooth = np.convolve(counts, np.array([1, 4, 6, 4, 1]) / 16, mode="same")
        return smooth / smooth.sum()

    def ratio(weights):
        return np.log((histogram(weights) + RARE) / (histogram(around) + RARE))

    bins = ((inside + LARGEST) * BINS / (2 * LARGEST)).astype(int)
    first = ratio(within)
    second = ratio(within / (1 + np.exp(-first[bins])))
    found = LikelihoodRatio.of(*(tensor(x)[None] for x in (intensity, within, around)))
    on_edge = np.abs(intensity[..., None] - edges).min(-1) < 1e-4
    if not on_edge.any():
        np.testing.assert_allclose(found.first[0], first, atol=1e-3)
        np.testing.assert_allclose(found.second[0], second, atol=1e-3)
        maps = found.maps(tensor(intensity)[None])
        np.testing.assert_allclose(maps[0, 0], np.tanh(first[bins] / 2), atol=1e-3)


@few
@given(SEEDS)
def test_the_first_table_changes_its_sign_where_the_sides_are_exchanged(seed):
    rng = numbers(seed)
    intensity, within, around = (tensor(rng.random((1, *SHAPE))) for _ in range(3))
    one = LikelihoodRatio.of(intensity, within, around).first
    other = LikelihoodRatio.of(intensity, around, within).first
    torch.testing.assert_close(one, -other, atol=1e-5, rtol=1e-5)


@few
@given(SEEDS)
def test_what_a_judge_is_told_of_masks_is_what_loops_find(seed):
    rng = numbers(seed)
    probability = rng.random((1, 3, *SHAPE))
    border = tensor(probability * (1 - probability)).flatten(2)
    found = _plain_features(tensor(probability), border)[0]
    flat = probability[0].reshape(3, -1)
    for mask in range(3):
        p, total = probability[0, mask], flat[mask].sum()
        faces = p[0].sum() + p[-1].sum() + p[:, 0].sum() + p[:, -1].sum()
        faces += p[:, :, 0].sum() + p[:, :, -1].sum()
        overlaps = [
            (flat[mask] * other).sum() / (total + other.sum() - (flat[mask] * other).sum())
            for other in flat
        ]
        wanted = [
            0.2 * np.log(p.mean()) + 1,
            p[p > 0.5].mean(),
            (p * (1 - p)).sum() / total,
            min(faces / total, 2),
            p.max(),
            overlaps[0],
            np.mean([o for n, o in enumerate(overlaps) if n != mask]),
        ]
        np.testing.assert_allclose(found[mask], wanted, atol=1e-4)


@few
@given(SEEDS)
def test_pooling_is_a_weighted_mean(seed):
    rng = numbers(seed)
    weights, features = rng.random((2, 3, 7)), rng.normal(size=(2, 7, 5))
    found = _pooled(tensor(weights), tensor(features))
    for sample, mask in product(range(2), range(3)):
        wanted = np.average(features[sample], axis=0, weights=weights[sample, mask])
        np.testing.assert_allclose(found[sample, mask], wanted, atol=1e-5)
    assert not _pooled(torch.zeros(1, 1, 7), tensor(features[:1])).any()
