"""Where crops of one size lie: whole volumes covered, and what a prediction holds, by loops."""

import numpy as np
from axis_order import ORDERS
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.inference.crop_placement import CropPlacement

SIZE = 8
FACTOR = 2
shapes = st.tuples(*[st.integers(1, 40)] * 3)
spacings = st.tuples(*[st.sampled_from([0.5, 0.84, 1.0, 2.5])] * 3)


@st.composite
def placements(draw) -> CropPlacement:
    voxels = np.broadcast_to(np.zeros((), np.uint8), draw(shapes))
    return CropPlacement(Volume.from_array(voxels, spacing=draw(spacings)), SIZE, 1.0)


@settings(max_examples=40)
@given(placements(), st.sampled_from([0.7, 1.0, 3.0]))
def test_crops_that_cover_a_volume_hold_each_of_its_voxels(placement, spacing):
    crops = [placement.at(centre, spacing) for centre in placement.covering(spacing)]
    held = np.zeros(placement.volume.shape, dtype=bool)
    for crop in crops:
        held[crop.box.slices] = True
    assert held.all()
    # No more of them along an axis than it takes with a quarter of each shared.
    for axis, length in enumerate(placement.volume.canonical.target_shape):
        span = SIZE * placement.voxels_per_step(spacing)[axis]
        places = {crop.centre[axis] for crop in crops}
        assert len(places) <= max(1, np.ceil((length - span) / (0.75 * span)) + 1)


@settings(max_examples=40)
@given(placements(), st.integers(0, 2**32 - 1), st.sampled_from([0.7, 1.5]))
def test_the_extent_of_a_prediction_holds_its_mask_and_little_more(placement, seed, spacing):
    rng = np.random.default_rng(seed)
    canonical = placement.volume.canonical
    crop = placement.at([rng.uniform(0, n - 1) for n in canonical.target_shape], spacing)
    logits = np.full((SIZE // FACTOR,) * 3, -1.0, dtype=np.float32)
    cell = rng.integers(0, len(logits), 3)
    logits[tuple(cell)] = 1.0
    # The faces of the cell, in voxels of the canonical grid, reckoned anew.
    step = np.asarray(spacing) / placement.voxel_size
    low = (cell * FACTOR - SIZE // 2 - 0.5) * step + crop.centre
    high = low + FACTOR * step
    shape = np.asarray(canonical.target_shape)
    assume((high > 0).all() and (low < shape - 1).all())
    first = np.floor(np.round(low + 0.5, 5)).clip(0, shape)
    last = np.ceil(np.round(high + 0.5, 5)).clip(0, shape)

    extent = placement.extent(crop, logits)

    assert np.abs(np.subtract(extent.start, first)).max() <= 1
    assert np.abs(np.subtract(extent.stop, last)).max() <= 1
    box, mask = crop.paste_mask(logits)
    if (found := Box.of_mask(mask)) is not None:
        seen = canonical.box_to_target(found.shifted(box.start))
        assert seen.intersection(extent) == seen


@settings(max_examples=20)
@given(st.sampled_from(ORDERS), st.integers(0, 2**32 - 1))
def test_the_order_of_axes_in_a_file_moves_no_crop(order, seed):
    rng = np.random.default_rng(seed)
    voxels = np.zeros((11, 14, 9), np.uint8)
    plain = Volume.from_array(voxels, spacing=(1.0, 2.0, 0.5))
    stored = order.volume(plain)
    centre = rng.uniform(0, 8, 3)
    crops = [CropPlacement(each, SIZE, 1.0).at(centre) for each in (plain, stored)]
    assert crops[0].centre == crops[1].centre
