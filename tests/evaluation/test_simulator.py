import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_folder import SHAPE, block

from napari_fastsam3d.evaluation.simulator import click_anywhere, correcting_click, next_click
from napari_fastsam3d.session import Mask


def test_the_first_click_is_in_the_middle():
    assert next_click(np.zeros(SHAPE, bool), block((2, 3, 4), (9, 10, 11))) == ((5, 6, 7), True)


def test_the_larger_error_is_corrected():
    truth = block((2, 2, 2), (10, 10, 10))
    spilled = truth | block((10, 2, 2), (17, 9, 9))
    assert next_click(spilled, truth) == ((13, 5, 5), False)
    missed = truth & ~block((2, 2, 2), (7, 7, 7)) | block((15, 15, 12), (17, 17, 14))
    assert next_click(missed, truth) == ((4, 4, 4), True)


def test_spacing_decides_what_is_deep():
    """In thick slices, the middle is where the rim in the plane is far."""
    truth = block((2, 2, 7), (15, 15, 8)) | block((2, 2, 9), (5, 5, 16))
    index, _ = next_click(np.zeros(SHAPE, bool), block((2, 2, 7), (15, 15, 8)), (1, 1, 10))
    assert index == (8, 8, 7)
    assert truth[next_click(np.zeros(SHAPE, bool), truth, (1, 1, 10))[0]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_every_click_corrects_an_error(seed):
    rng = np.random.default_rng(seed)
    truth, mask = rng.random((2, *SHAPE)) > 0.6
    index, positive = next_click(mask, truth)
    assert truth[index] == positive != mask[index]


def test_an_empty_structure_cannot_be_clicked():
    with pytest.raises(ValueError, match="without voxels"):
        next_click(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool))


@st.composite
def blocks(draw):
    low = [draw(st.integers(0, n - 2)) for n in SHAPE]
    return block(low, [draw(st.integers(a + 1, n)) for a, n in zip(low, SHAPE, strict=True)])


@settings(max_examples=50, deadline=None)
@given(blocks(), blocks(), blocks())
def test_looking_at_boxes_only_gives_the_same_click(truth, mask, other):
    mask = mask ^ other
    spacing = (0.8, 0.8, 3.0)
    boxed = correcting_click(Mask.of_volume(mask), Mask.of_volume(truth), spacing)
    assert boxed == next_click(mask, truth, spacing)


@given(blocks(), st.integers(0, 1 << 32))
def test_a_click_anywhere_is_inside_and_comes_again(truth, seed):
    index, positive = click_anywhere(Mask.of_volume(truth), seed)
    assert positive
    assert truth[index]
    assert click_anywhere(Mask.of_volume(truth), seed)[0] == index


def test_clicks_anywhere_are_not_all_in_the_middle():
    truth = Mask.of_volume(block((2, 2, 2), (12, 12, 12)))
    assert len({click_anywhere(truth, seed)[0] for seed in range(30)}) > 20
