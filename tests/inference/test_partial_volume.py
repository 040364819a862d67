import numpy as np
import pytest

from napari_fastsam3d.geometry import Crop, Volume
from napari_fastsam3d.inference.partial_volume import averaged_over_voxels

CELLS = 32
CELL = 2.0


def crop_over(spacing):
    shape = [round(CELLS * CELL / s) for s in spacing]
    volume = Volume(np.zeros(shape, np.float32), np.diag([*spacing, 1]))
    middle = [(n - 1) / 2 for n in shape]
    return Crop.around(volume, middle, spacing=CELL / 2, size=2 * CELLS)


def plate(first, thickness):
    logits = np.full((CELLS, CELLS, CELLS), -8, np.float32)
    logits[:, :, first : first + thickness] = 8
    return logits


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 0.7), (2.0, 2.0, 3.0)])
def test_voxels_hardly_larger_than_cells_change_nothing(spacing):
    logits = plate(4, 3)
    assert averaged_over_voxels(crop_over(spacing), logits) is logits


def test_a_voxel_belongs_to_the_mask_where_more_than_half_of_it_does():
    """Of slices four cells thick a plate of five cells fills one, and a quarter of another."""
    crop = crop_over((2.0, 2.0, 8.0))
    box, mask = crop.paste_mask(averaged_over_voxels(crop, plate(8, 5)))
    full = np.zeros((32, 32, 8), bool)
    full[box.slices] = mask
    assert full[:, :, 2].all()
    assert not full[:, :, :2].any()
    assert not full[:, :, 3:].any()


def test_what_is_thinner_than_half_a_voxel_is_not_drawn_by_where_it_lies():
    """A plate through the middle of a slice: its logit is high, and it fills a quarter."""
    crop = crop_over((2.0, 2.0, 8.0))
    thin = plate(9, 1)
    thin[:, :, 9] = 12
    thin[:, :, 10] = -2
    assert crop.paste_mask(thin)[1].any()
    assert not crop.paste_mask(averaged_over_voxels(crop, thin))[1].any()


def test_only_axes_with_large_voxels_are_averaged():
    crop = crop_over((2.0, 2.0, 8.0))
    logits = np.random.default_rng(0).normal(0, 3, (CELLS, CELLS, CELLS)).astype(np.float32)
    averaged = averaged_over_voxels(crop, logits)
    assert averaged.dtype == np.float32
    assert not np.allclose(averaged, logits, atol=0.1)
    alone = averaged_over_voxels(crop, np.repeat(logits[3:4], CELLS, 0))
    assert np.allclose(alone[5], averaged[3], atol=1e-4)


def test_the_surest_logits_stay_finite():
    crop = crop_over((2.0, 2.0, 8.0))
    for value in (-1e4, 1e4):
        flat = np.full((CELLS, CELLS, CELLS), value, np.float32)
        averaged = averaged_over_voxels(crop, flat)
        assert np.isfinite(averaged).all()
        assert ((averaged > 0) == (value > 0)).all()
