"""The normalised surface Dice, against ITK's distance maps, and what must not change it."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_fastsam3d.evaluation import Surface
from napari_fastsam3d.session import Mask

SHAPE = (7, 6, 5)
spacings = st.tuples(*[st.sampled_from([0.6, 1.0, 1.7, 4.0])] * 3)


@st.composite
def lumps(draw):
    """Some blocks, joined or apart, with holes."""
    mask = np.zeros(SHAPE, bool)
    for _ in range(draw(st.integers(1, 3))):
        low = [draw(st.integers(0, n - 1)) for n in SHAPE]
        high = [draw(st.integers(a + 1, n)) for a, n in zip(low, SHAPE, strict=True)]
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] ^= True
    assume(mask.any())
    return mask


def itk_contour(mask, spacing):
    """The voxels of a mask that touch the outside by a face, on a border of background."""
    image = SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8).T)
    image.SetSpacing(spacing)
    # ITK's "fully connected" contour keeps voxels with a neighbour outside by corner, too.
    return SimpleITK.BinaryContour(image, fullyConnected=False)


def by_itk(mask, truth, spacing, tolerance):
    """Of voxels no larger than the tolerance: the part of both contours within it."""
    contours = [itk_contour(each, spacing) for each in (mask, truth)]
    within = total = 0
    for one, other in (contours, contours[::-1]):
        away = SimpleITK.SignedMaurerDistanceMap(
            other, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
        )
        here = SimpleITK.GetArrayViewFromImage(one) > 0
        within += (SimpleITK.GetArrayViewFromImage(away)[here] <= tolerance + 1e-5).sum()
        total += here.sum()
    return within / total


@settings(max_examples=30)
@given(lumps(), lumps(), st.tuples(*[st.sampled_from([0.6, 1.0, 1.7])] * 3))
def test_it_is_what_itk_measures(mask, truth, spacing):
    found = Surface(Mask.of_volume(truth), spacing).dice(Mask.of_volume(mask))
    assert found == pytest.approx(by_itk(mask, truth, spacing, 2.0))


@settings(max_examples=30)
@given(lumps(), lumps(), spacings)
def test_it_does_not_matter_which_of_two_masks_is_the_truth(one, other, spacing):
    masks = [Mask.of_volume(each) for each in (one, other)]
    forth = Surface(masks[0], spacing).dice(masks[1])
    assert forth == pytest.approx(Surface(masks[1], spacing).dice(masks[0]))
    assert 0 <= forth <= 1


@settings(max_examples=30)
@given(
    lumps(),
    lumps(),
    spacings,
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
)
def test_the_order_in_which_a_scan_is_stored_does_not_matter(mask, truth, spacing, order, signs):
    def stored(array):
        return Mask.of_volume(array.transpose(order)[tuple(slice(None, None, s) for s in signs)])

    there = Surface(stored(truth), tuple(spacing[axis] for axis in order)).dice(stored(mask))
    here = Surface(Mask.of_volume(truth), spacing).dice(Mask.of_volume(mask))
    assert there == pytest.approx(here)


@settings(max_examples=30)
@given(lumps(), lumps(), spacings, st.tuples(*[st.integers(0, 4)] * 3))
def test_where_in_the_scan_they_lie_does_not_matter(mask, truth, spacing, shift):
    def moved(array):
        return Mask.of_volume(np.pad(array, [(n, 1) for n in shift]))

    there = Surface(moved(truth), spacing).dice(moved(mask))
    assert there == Surface(Mask.of_volume(truth), spacing).dice(Mask.of_volume(mask))


@settings(max_examples=30)
@given(lumps(), lumps(), spacings)
def test_more_is_forgiven_by_a_greater_tolerance(mask, truth, spacing):
    found = [
        Surface(Mask.of_volume(truth), spacing, tolerance).dice(Mask.of_volume(mask))
        for tolerance in (0.1, 1.0, 2.0, 5.0)
    ]
    assert found == sorted(found)


@settings(max_examples=30)
@given(arrays(bool, SHAPE), spacings)
def test_any_mask_is_its_own_surface_and_nothing_is_no_one_s(mask, spacing):
    assume(mask.any())
    surface = Surface(Mask.of_volume(mask), spacing)
    assert surface.dice(Mask.of_volume(mask)) == 1
    assert surface.dice(Mask.empty()) == 0
