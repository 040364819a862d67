"""Crops chosen by their definition; tiles joined."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.inference.automatic import _Looker, _ramp
from napari_fastsam3d.inference.crop_policy import CropPolicy

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)
LEVELS = (0.75, 1.5, 3.0)


def policy(spacing=(1.0, 1.0, 1.0), shape=(300, 280, 260)) -> CropPolicy:
    voxels = np.broadcast_to(np.zeros((), np.uint8), shape)
    return CropPolicy(Volume.from_array(voxels, spacing=spacing), LEVELS, 1.5, 64)


@given(st.tuples(*[st.integers(1, 100)] * 3), st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * 3))
def test_what_is_remembered_and_taught_is_seen_as_closely_as_its_size_allows(shape, spacing):
    longest = max(n * size for n, size in zip(shape, spacing, strict=True))
    voxel = np.prod(spacing) ** (1 / 3)
    chosen = policy(spacing)
    box = Box((5, 5, 5), tuple(5 + n for n in shape))
    for found, part, room in (
        (chosen.spacing_to_remember(box), 0.6, 2.0),
        (chosen.spacing_to_teach(box), 0.4, 1.1),
    ):
        least = max(part * voxel, room * longest / 64)
        fine = [level for level in LEVELS if level >= least]
        assume(all(abs(level - least) > 1e-9 for level in LEVELS))
        assert found == (fine[0] if fine else 3.0)


@given(st.tuples(*[st.floats(0, 299)] * 3), st.integers(0, 7), st.integers(0, 2))
def test_a_click_keeps_its_crop_four_voxels_from_a_face_beyond_which_the_scan_goes_on(
    offset, way, axis
):
    chosen = policy()
    crop = chosen.at([min(x, n - 1) for x, n in zip(offset, chosen.volume.shape, strict=True)], 1.5)
    below, above = chosen.open_faces(crop)[axis]
    at = np.full(3, 31.5)
    at[axis] = (-0.6, -0.4, 3.4, 3.6, 59.4, 59.6, 63.4, 63.6)[way]
    index = crop.to_source(at)
    lowest = 3.5 if below else -0.5
    highest = 59.5 if above else 63.5
    assert chosen.keeps(crop, tuple(index)) == (lowest <= at[axis] <= highest)
    coarse = Crop.around(chosen.volume, index, 3.0, 32)
    assert not chosen.keeps(coarse, tuple(index)), "a crop of a coarse pass serves for none"


@pytest.mark.parametrize(
    ("side", "crop_spacing", "nearer"),
    [(20, 3.0, 1.5), (20, 1.5, 0.75), (20, 0.75, None), (78, 3.0, 1.5), (79, 3.0, None)],
)
def test_a_box_is_seen_a_level_closer_where_a_tenth_of_it_shows_around(side, crop_spacing, nearer):
    chosen = policy()
    box = Box((100, 100, 100), (100 + side, 110, 110))
    crop = chosen.at((100, 100, 100), crop_spacing)
    found = chosen.nearer_box(box, crop)
    assert (found and found.spacing) == nearer
    assert found is None or np.allclose(found.centre, [100 + (side - 1) / 2, 104.5, 104.5])


@pytest.mark.parametrize(("voxel", "nearer"), [(2.5, True), (2.6, False)])
def test_no_crop_voxel_is_smaller_than_three_tenths_of_the_scan_s(voxel, nearer):
    chosen = policy((voxel,) * 3)
    crop = chosen.at((100, 100, 100), 1.5)
    found = chosen.nearer_box(Box((100,) * 3, (110,) * 3), crop)
    assert (found is not None) == nearer


def test_tiles_are_averaged_by_how_near_their_middle_a_voxel_lies():
    volume = Volume.from_array(np.zeros((40, 24, 24), np.uint8))
    looker = _Looker(volume, _Model(), lambda: None)
    box = Box((2, 3, 4), (38, 20, 21))
    rng = np.random.default_rng(3)
    tiles = []
    for centre in ((12, 12, 12), (28, 12, 12)):
        crop = Crop.around(volume, centre, 1.0, 24)
        tiles.append((crop, (rng.normal(size=(12, 12, 12)) + 1.5).astype(np.float32)))
    found = looker._joined(box, tiles).volume(volume.shape)
    wrong = 0
    for voxel in product(range(2, 38, 3), range(3, 20, 4), range(4, 21, 4)):
        total = weight = 0.0
        for crop, logits in tiles:
            if crop.box.contains(voxel):
                at = ((crop.to_crop(voxel) + 0.5) / 2 - 0.5).clip(0, 11)
                share = np.prod([_between(_line(12), x) for x in at])
                total += _trilinear(logits, at) * share
                weight += share
        if abs(total) > 1e-3:
            wrong += found[voxel] != (weight > 0 and total > 0)
    assert wrong == 0
    outside = found.copy()
    outside[box.slices] = False
    assert not outside.any()
    np.testing.assert_allclose(
        _ramp(12)[3], _line(12)[3] * np.outer(_line(12), _line(12)), rtol=1e-5
    )


class _Model:
    """What a policy asks of a model."""

    spacings, start_spacing, crop_size = (1.0,), 1.0, 24


def _line(side: int) -> np.ndarray:
    return 1.01 - np.linspace(-1, 1, side) ** 2


def _between(line: np.ndarray, at: float) -> float:
    return float(np.interp(at, np.arange(len(line)), line))


def _trilinear(grid: np.ndarray, at) -> float:
    low = np.floor(at).astype(int)
    total = 0.0
    for step in product((0, 1), repeat=3):
        weight = np.prod([1 - t if s == 0 else t for s, t in zip(step, at - low, strict=True)])
        total += weight * grid[tuple(np.minimum(low + step, len(grid) - 1))]
    return float(total)
