"""What an adapter learns from: parts of crops as whole crops would have been decoded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pyramid import ball_scan, small_pyramid

from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.model.adaptation import AdapterConfig
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.default.region import STEP, Region
from napari_fastsam3d.training.adaptation.learner import no_prompts
from napari_fastsam3d.training.adaptation.published_view import _newest
from napari_fastsam3d.training.adaptation.teaching import Extent, view_maker
from napari_fastsam3d.training.adaptation.view import (
    SURE,
    PyramidView,
    ViewMaker,
    _in_whole,
    _start,
    cells_around,
)

SIZE, SHAPE = 64, (12, 12, 12)
"""Voxels of a crop, and cells at S/4 of a part."""

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=15)


@pytest.fixture(scope="module")
def predictor():
    made = small_pyramid()
    made.crop_size = SIZE
    return made


@pytest.fixture(scope="module")
def looked_at(predictor):
    """A ball in a scan, seen with the encoder frozen and with it adapted."""
    volume, mask = ball_scan(3, edge=70)
    crop = CropPolicy.of(volume, predictor).at(middle_of(mask, volume), 2.0)

    def look(through_encoder: bool, shape=SHAPE):
        rng = np.random.default_rng(0)
        return ViewMaker(predictor, shape, through_encoder)(volume, mask, crop, True, rng)

    return volume, mask, crop, look


def prompts_of(view: PyramidView, part: int = 0, fed: float | None = None) -> Prompts:
    truth = view.truths[part]
    inside = torch.nonzero(truth[0, 0] > 0.5)
    point = 2.0 * inside[len(inside) // 2][None, None] + 0.5
    none = no_prompts(truth)
    previous = none.previous if fed is None else torch.full_like(none.previous, fed)
    return replace(none, points=point, labels=torch.ones(1, 1).long(), previous=previous)


def test_a_part_is_drawn_as_in_the_whole_crop(predictor, looked_at):
    *_, look = looked_at
    view = look(through_encoder=False)
    region = view.parts[0].region
    prompts = prompts_of(view)
    with torch.no_grad():
        drawn = view.decode(predictor.network, 0, prompts)
        pyramid = predictor.network.encoder(look(through_encoder=True).image)
        origin = 4.0 * torch.tensor(region.start)
        empty = torch.zeros(1, 1, *3 * (SIZE // 4,))
        moved = replace(prompts, points=prompts.points + origin, previous=empty)
        whole = predictor.network.decoder(pyramid, moved)
    for got, wanted, finer in (
        (drawn.low_res_logits, whole.low_res_logits, 1),
        (drawn.mask_logits, whole.mask_logits, 2),
    ):
        cut = wanted[(..., *region.slices(finer))]
        assert got.shape == cut.shape
        inner = (..., *3 * (slice(4 * finer, -4 * finer),))
        assert got[inner].numel() == (4 * finer) ** 3
        torch.testing.assert_close(got[inner], cut[inner], rtol=1e-3, atol=1e-3)


def test_a_frozen_encoder_s_view_is_that_of_an_adapted_one(predictor, looked_at):
    *_, look = looked_at
    frozen, through = look(False), look(True)
    assert frozen.image is None
    assert through.pyramid is None
    assert all(part.near is None for part in through.parts)
    for fed in (None, 2.0):
        with torch.no_grad():
            one, other = (
                v.decode(predictor.network, 0, prompts_of(v, 0, fed)) for v in (frozen, through)
            )
        torch.testing.assert_close(one.mask_logits, other.mask_logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.predicted_iou, other.predicted_iou, rtol=1e-4, atol=1e-4)


def test_a_frozen_view_keeps_the_finest_grid_of_its_parts_only(looked_at):
    *_, look = looked_at
    view = look(through_encoder=False)
    assert view.pyramid.fine.numel() == 0
    for part in view.parts:
        assert part.near.pyramid.fine.shape[1:4] == tuple(2 * n for n in SHAPE)
        assert part.near.pyramid.embedding.numel() == 0
        storage = part.near.pyramid.fine.untyped_storage().nbytes()
        assert storage == part.near.pyramid.fine.numel() * part.near.pyramid.fine.element_size()


def test_truth_is_the_share_of_each_cell_that_the_structure_fills(looked_at):
    volume, mask, crop, look = looked_at
    view = look(through_encoder=True)
    whole = crop.resample_mask(mask.box, mask.voxels, 2)
    region = view.parts[0].region
    np.testing.assert_array_equal(view.truths[0][0, 0].numpy(), whole[region.slices(2)])
    assert view.truths[0].sum() == pytest.approx(whole.sum()), "all of a ball lies in its part"
    mm3 = float(view.truths[0].sum()) * (2 * crop.spacing) ** 3
    assert mm3 == pytest.approx(np.count_nonzero(mask.voxels) * volume.voxel_mm3, rel=0.02)


def test_nothing_is_looked_at_where_nothing_is(predictor, looked_at):
    volume, _, crop, _ = looked_at
    make = ViewMaker(predictor, SHAPE, True)
    rng = np.random.default_rng(0)
    assert make(volume, Mask.empty(), crop, True, rng) is None
    corner = np.zeros(volume.shape, bool)
    corner[0, 0, 0] = True
    beside = CropPolicy.of(volume, predictor).at((69, 69, 69), 0.5)
    assert make(volume, Mask.of_volume(corner), beside, True, rng) is None


def test_another_part_lies_anywhere_in_what_the_crop_shows(predictor, looked_at):
    volume, mask, crop, _ = looked_at
    make = ViewMaker(predictor, (4, 4, 4), True)
    starts = set()
    for seed in range(12):
        view = make(volume, mask, crop, True, np.random.default_rng(seed))
        assert len(view.parts) == 2
        start = view.parts[1].region.start
        assert all(0 <= n <= SIZE // 4 - 4 for n in start)
        starts.add(start)
    assert len(starts) > 6
    whole = ViewMaker(predictor, (16, 16, 16), True)(
        volume, mask, crop, True, np.random.default_rng(0)
    )
    assert len(whole.parts) == 1, "there is no choice where the part is the crop"


@few
@given(
    st.lists(st.tuples(*3 * [st.floats(1, 200)]), min_size=1, max_size=5),
    st.floats(0.5, 4),
    st.integers(0, 4),
)
def test_a_part_holds_every_structure_and_its_margin(extents, spacing, margin):
    cells = cells_around(extents, spacing, margin)
    for axis, count in enumerate(cells):
        largest = max(extent[axis] for extent in extents)
        assert count % STEP == 0
        assert (count - 2 * margin) * 4 * spacing >= largest - 1e-6
        assert (count - STEP - 2 * margin) * 4 * spacing < largest


@few
@given(SEEDS)
def test_a_part_begins_around_its_centre_and_inside_the_crop(seed):
    rng = np.random.default_rng(seed)
    side = int(rng.integers(4, 33))
    shape = tuple(int(n) for n in rng.integers(1, side + 1, 3))
    centre = rng.uniform(-5, side + 5, 3)
    start = _start(centre, shape, side)
    for first, length, at in zip(start, shape, centre, strict=True):
        assert 0 <= first <= side - length
        if length / 2 <= at <= side - length / 2:
            assert abs(first + length / 2 - at) <= 0.5


@few
@given(SEEDS)
def test_what_is_fed_back_lies_in_its_region_and_nothing_around_it(seed):
    rng = np.random.default_rng(seed)
    size = 8
    shape = tuple(int(n) for n in rng.integers(1, size + 1, 3))
    start = tuple(int(rng.integers(0, size - n + 1)) for n in shape)
    region = Region(start, shape)
    previous = torch.from_numpy(rng.normal(size=(1, 1, *shape)).astype(np.float32))
    whole = _in_whole(previous, region, size)
    assert whole.shape == (1, 1, size, size, size)
    torch.testing.assert_close(whole[(..., *region.slices())], previous, rtol=0, atol=0)
    outside = torch.ones_like(whole, dtype=torch.bool)
    outside[(..., *region.slices())] = False
    assert (whole[outside] == -SURE).all()
    assert not _in_whole(torch.zeros_like(previous), region, size).any()


def test_a_published_model_is_told_of_the_newest_point_with_its_padding():
    points = torch.arange(12.0).reshape(1, 4, 3)
    labels = torch.tensor([[1, 0, 1, -1]])
    prompts = Prompts(points, labels, torch.full((1, 2, 3), torch.nan), torch.zeros(1, 1, 2, 2, 2))
    place, kind = _newest(prompts)
    assert place.tolist() == [[[6, 7, 8], [0, 0, 0]]]
    assert kind.tolist() == [[1, -1]]
    place, kind = _newest(replace(prompts, labels=torch.tensor([[1, 0, -1, -1]])))
    assert place[0, 0].tolist() == [3, 4, 5]
    assert kind.tolist() == [[0, -1]]
    place, kind = _newest(replace(prompts, labels=torch.full((1, 4), -1)))
    assert place.shape == (1, 0, 3)
    assert kind.shape == (1, 0)


@pytest.mark.parametrize(("kind", "encoder"), [("norm", False), ("lora", True)])
def test_parts_fit_the_structures_and_never_exceed_the_crop(predictor, kind, encoder):
    config = AdapterConfig(kind, encoder=encoder)
    extents = [Extent(2.0, (9.0, 9.0, 9.0)), Extent(2.0, (1.0, 500.0, 9.0))]
    make = view_maker(predictor, config, extents, 2.0)
    assert make.shape == (8, SIZE // 4, 8)
    assert make.through_encoder == encoder
