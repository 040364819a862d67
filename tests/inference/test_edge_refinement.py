import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference import edge_refinement as sharpening
from napari_fastsam3d.inference.edge_refinement import edge_aware_mask

SHAPE = (40, 44, 36)


def ball(centre, radius):
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0)
    return np.linalg.norm(grid - centre, axis=-1) <= radius


def coarse_logits(crop, truth, side=16):
    """Logits on cells of two crop voxels that know the truth only as far as a cell does."""
    share = crop.extract(truth.astype(np.float32), fill=0.0)
    cells = share.reshape(side, 2, side, 2, side, 2).mean((1, 3, 5))
    return (4 * (cells - 0.5)).astype(np.float32)


def scene(noise=0.0, seed=0, dtype=np.float32):
    truth = ball((19.3, 21.1, 17.6), 8.4)
    rng = np.random.default_rng(seed)
    image = 40 + 100 * truth + rng.normal(0, 1, SHAPE) * noise
    volume = Volume(image.astype(dtype), np.diag([0.7, 0.7, 0.7, 1]))
    crop = Crop.around(volume, (19.0, 21.0, 17.0), spacing=1.2, size=32)
    return volume, crop, truth


def dice(box, mask, truth):
    return Mask.of(box, mask).agreement(Mask.of_volume(truth))


@pytest.mark.parametrize("noise", [0.0, 10.0, 25.0])
def test_a_mask_is_drawn_to_the_edge_that_cells_are_too_large_for(noise):
    volume, crop, truth = scene(noise)
    logits = coarse_logits(crop, truth) - 0.4
    plain = dice(*crop.paste_mask(logits), truth)
    sharp = dice(*edge_aware_mask(crop, logits, volume.voxels), truth)
    assert sharp > plain
    assert sharp > 0.95


def test_where_the_scan_shows_nothing_the_mask_stays_about_as_it_was():
    _, crop, truth = scene()
    flat = np.full(SHAPE, 7.0, np.float32)
    logits = coarse_logits(crop, truth)
    plain = Mask.of(*crop.paste_mask(logits))
    assert plain.agreement(Mask.of(*edge_aware_mask(crop, logits, flat))) > 0.97


@given(
    order=st.permutations(range(3)),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    noise=st.floats(0, 30),
)
@settings(max_examples=15, deadline=None)
def test_the_order_in_which_a_file_stores_its_axes_changes_no_voxel(order, flips, noise):
    volume, crop, truth = scene(noise)
    logits = coarse_logits(crop, truth)
    index = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    stored = volume.voxels.transpose(order)[index]
    affine = np.eye(4)
    affine[:3, :3] = volume.affine[:3, :3][:, order]
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (stored.shape[axis] - 1)
            affine[:3, axis] *= -1
    other = Volume(np.ascontiguousarray(stored), affine)
    there = Crop.around(
        other, tuple(other.to_index(volume.to_world((19.0, 21.0, 17.0)))), spacing=1.2, size=32
    )
    one = np.zeros(SHAPE, bool)
    box, mask = edge_aware_mask(crop, logits, volume.voxels)
    one[box.slices] = mask
    two = np.zeros(stored.shape, bool)
    box, mask = edge_aware_mask(there, logits, other.voxels)
    two[box.slices] = mask
    assert np.array_equal(one.transpose(order)[index], two)


def test_voxels_that_are_not_finite_and_whole_numbers_do_no_harm():
    volume, crop, truth = scene(5.0)
    logits = coarse_logits(crop, truth)
    broken = volume.voxels.copy()
    broken[:, :, :14] = np.nan
    broken[20, 20, 20] = np.inf
    assert dice(*edge_aware_mask(crop, logits, broken), truth) > 0.85
    whole, _, _ = scene(5.0, dtype=np.int16)
    assert dice(*edge_aware_mask(crop, logits, whole.voxels), truth) > 0.95
    everywhere = np.full(SHAPE, np.nan, np.float32)
    assert dice(*edge_aware_mask(crop, logits, everywhere), truth) > 0.85


def test_nothing_predicted_gives_no_mask():
    volume, crop, _ = scene()
    box, mask = edge_aware_mask(crop, np.full((16, 16, 16), -1, np.float32), volume.voxels)
    assert box.is_empty
    assert mask.size == 0


def test_a_large_mask_is_cut_at_zero_alone(monkeypatch):
    volume, crop, truth = scene(20.0)
    logits = coarse_logits(crop, truth)
    plain = Mask.of(*crop.paste_mask(logits))
    assert not Mask.of(*edge_aware_mask(crop, logits, volume.voxels)).equals(plain)
    monkeypatch.setattr(sharpening, "MOST", 100)
    assert Mask.of(*edge_aware_mask(crop, logits, volume.voxels)).equals(plain)


def test_where_voxels_are_wider_than_cells_nothing_is_drawn():
    truth = ball((19.3, 21.1, 17.6), 8.4)
    image = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    volume = Volume(image, np.diag([6.0, 6, 6, 1]))
    crop = Crop.around(volume, (19.0, 21.0, 17.0), spacing=2.0, size=96)
    logits = coarse_logits(crop, truth, side=48)
    box, mask = edge_aware_mask(crop, logits, volume.voxels)
    assert Mask.of(box, mask).agreement(Mask.of(*crop.paste_mask(logits))) > 0.999


def test_padding_beside_a_structure_is_no_edge():
    volume, crop, truth = scene(10.0)
    logits = coarse_logits(crop, truth) - 0.4
    air, padded = volume.voxels.copy(), volume.voxels.copy()
    air[ball((19.3, 21.1, 30.0), 5) & ~truth] = -1000
    padded[ball((19.3, 21.1, 30.0), 5) & ~truth] = -8192
    box, mask = edge_aware_mask(crop, logits, air)
    again, same = edge_aware_mask(crop, logits, padded, floor=-1000)
    assert box == again
    assert np.array_equal(mask, same)
