"""Grey windows, rectangles of boxes, and words for prompts: what needs no viewer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d._napari.descriptions import (
    change_text,
    count_of,
    describe_place,
    describe_prompt,
)
from napari_fastsam3d._napari.layers.contrast import (
    PRESETS,
    GreyWindow,
    _otsu,
    auto_window,
    is_ct,
    opening_window,
    value_range,
)
from napari_fastsam3d._napari.layers.outline import Plane, drawn_box, outline, redrawn_box
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.session import BoxPrompt, Change, Choice, Edit, Freeze, MaskPrompt, Point

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None)
SHAPE = (9, 8, 7)


def scan(seed, dtype=np.float32, scale=100.0, offset=0.0):
    """Tissue in the dark, a tenth of it bright."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(1, 0.1, SHAPE)
    voxels[:3] = rng.uniform(0, 0.02, (3, *SHAPE[1:]))
    voxels[-1, :3] += 1
    return Volume.from_array((scale * voxels + offset).astype(dtype))


@given(st.floats(-2000, 2000), st.floats(1e-3, 4000))
def test_a_window_is_level_and_width(low, width):
    window = GreyWindow.between((low, low + width))
    assert window.limits == (pytest.approx(low, abs=1e-6), pytest.approx(low + width, abs=1e-6))
    assert window.level == pytest.approx(low + width / 2)


@few
@given(SEEDS, st.sampled_from([np.int16, np.uint8, np.float32, np.float64]))
def test_the_range_is_that_of_the_values(seed, dtype):
    volume = scan(seed, dtype)
    assert value_range(volume) == (volume.voxels.min(), volume.voxels.max())
    low, high = auto_window(volume).limits
    assert value_range(volume)[0] <= low < high <= value_range(volume)[1] + 1


@pytest.mark.parametrize("value", [0, 7, -1000, 1e6])
def test_a_scan_of_one_value_has_a_range_all_the_same(value):
    volume = Volume.from_array(np.full(SHAPE, value, np.float32))
    for low, high in (value_range(volume), auto_window(volume).limits):
        assert low <= value < high
    assert opening_window(volume).width > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_nowhere(bad):
    plain, spoilt = scan(3).voxels.copy(), scan(3).voxels.copy()
    spoilt[4:6] = bad
    volume = Volume.from_array(spoilt)
    rest = Volume.from_array(np.delete(plain, [4, 5], axis=0))
    assert value_range(volume) == value_range(rest)
    assert np.isfinite(auto_window(volume).limits).all()


@few
@given(SEEDS, st.sampled_from([1e-3, 0.5, 40.0]), st.sampled_from([0.0, 5.0, 300.0]))
def test_another_scale_of_the_same_scan_opens_alike(seed, scale, offset):
    one, other = scan(seed, np.float64), scan(seed, np.float64, 100 * scale, offset)
    low, high = auto_window(one).limits
    assert auto_window(other).limits == pytest.approx(
        (scale * low + offset, scale * high + offset), rel=1e-6, abs=1e-6 * scale
    )


@few
@given(SEEDS)
def test_otsu_parts_by_the_largest_variance_between(seed):
    rng = np.random.default_rng(seed)
    sample = np.concatenate([rng.normal(0, 1, 300), rng.normal(rng.uniform(3, 9), 1, 200)])
    edges = np.linspace(sample.min(), sample.max(), 257)

    def between(value):
        dark, bright = sample[sample < value], sample[sample >= value]
        return len(dark) * len(bright) * (dark.mean() - bright.mean()) ** 2

    best = max(between(edge) for edge in edges[1:-1])
    assert between(_otsu(sample)) >= 0.98 * best


def test_a_ct_is_known_by_air_and_a_body_and_opens_in_soft_tissue():
    voxels = np.full((30, 30, 20), -1000, np.int16)
    voxels[8:22, 8:22] = np.random.default_rng(0).normal(40, 20, (14, 14, 20))
    volume = Volume.from_array(voxels)
    assert is_ct(volume)
    assert opening_window(volume) == PRESETS["soft_tissue"]
    voxels[10:18, 10:18] = 400
    assert opening_window(Volume.from_array(voxels)) == PRESETS["angio"]
    assert is_ct(Volume.from_array(np.abs(voxels))) is None


@st.composite
def boxes(draw):
    starts = [draw(st.integers(0, n - 2)) for n in SHAPE]
    stops = [draw(st.integers(a + 1, n)) for a, n in zip(starts, SHAPE, strict=True)]
    return Box(tuple(starts), tuple(stops))


@given(boxes(), st.integers(0, 2))
def test_a_rectangle_drawn_in_all_slices_is_a_box_of_all_slices(box, axis):
    (face,) = outline(box, Plane(axis, box.start[axis]))
    if min(n for a, n in enumerate(box.shape) if a != axis) < 2:
        return  # a line, whose own axes are not told apart
    found = drawn_box(face, (1, 1, 1), SHAPE, depth=np.inf)
    assert found == box.stretched(axis, 0, SHAPE[axis])
    alone = drawn_box(face, (1, 1, 1), SHAPE, depth=0.0)
    assert alone == box.stretched(axis, box.start[axis], box.start[axis] + 1)


@given(boxes(), st.integers(0, 2), st.integers(-20, 20))
def test_a_rectangle_dragged_beside_the_scan_is_clipped_or_nothing(box, axis, by):
    (face,) = outline(box, Plane(axis, box.start[axis]))
    if min(n for a, n in enumerate(box.shape) if a != axis) < 2:
        return
    along = (axis + 1) % 3
    face = face.copy()
    face[:, along] += by
    moved = box.shifted([by if a == along else 0 for a in range(3)]).clipped(SHAPE)
    assert redrawn_box(face, box, SHAPE) == (None if moved.is_empty else moved)


@given(boxes())
def test_faces_in_3d_are_those_of_the_voxels(box):
    faces = outline(box, Plane(None))
    assert len(faces) == 6
    for axis in range(3):
        flat = [face[0, axis] for face in faces if np.ptp(face[:, axis]) == 0]
        assert {box.start[axis] - 0.5, box.stop[axis] - 0.5} <= set(flat)


VOLUME = Volume.from_array(np.zeros(SHAPE), np.diag([-2.0, 1.0, 3.0, 1.0]))
ONE = PackedMask.of(Mask.of_indices([(1, 2, 3)]))
MANY = PackedMask.of(Mask.of_volume(np.ones((20, 10, 10), bool)))
NOTHING = PackedMask()


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (Point(1, (3, 2, 1)), "Include at L 6, A 2, S 3 mm"),
        (Point(1, (0, 0, 0), False), "Exclude at R 0, A 0, S 0 mm"),
        (BoxPrompt(1, Box((0, 0, 0), (4, 5, 1))), "Box of 8 × 5 × 3 mm"),
        (BoxPrompt(1, Box((0, 0, 0), (4, 5, 1)), 2), "Box of 8 × 5 × 3 mm, depth guessed"),
        (Freeze(1, Box((0, 0, 0), (1, 1, 1))), "Frozen: 2 × 1 × 3 mm"),
        (Choice(1, 2), "Candidate 3 by size"),
        (MaskPrompt(1, MANY), "Mask opened, 2,000 voxels"),
        (Edit(1, ONE, NOTHING), "Painted 1 voxel"),
        (Edit(1, NOTHING, MANY), "Erased 2,000 voxels"),
        (Edit(1, ONE, MANY), "Painted 1 voxel, erased 2,000"),
    ],
)
def test_a_prompt_in_words(prompt, words):
    assert describe_prompt(prompt, VOLUME) == words


@given(st.tuples(*[st.integers(-50, 50)] * 3))
def test_a_place_is_told_towards_six_sides(index):
    world = np.array(index) * (-2, 1, 3)
    told = describe_place(index, VOLUME).removesuffix(" mm").split(", ")
    for part, value, (plus, minus) in zip(told, world, ("RL", "AP", "SI"), strict=True):
        assert part == f"{plus if value >= 0 else minus} {abs(value)}"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0, 0, "nothing changed"),
        (0, 1000, "+1 ml"),
        (1000, 0, "−1 ml"),
        (0, 12_345, "+12 ml"),
        (0, 3, "+0.003 ml"),
    ],
)
def test_a_change_in_words(before, after, words):
    def first(count):
        return Mask.of_indices(np.argwhere(np.arange(15_625).reshape(25, 25, 25) < count))

    volume = Volume.from_array(np.zeros((25, 25, 25)), spacing=(1, 1, 1))
    assert change_text(Change.between(first(before), first(after), volume)) == words


@few
@given(SEEDS)
def test_voxels_of_a_packed_mask_are_counted(seed):
    array = np.random.default_rng(seed).random(SHAPE) < 0.3
    assert count_of(PackedMask.of(Mask.of_volume(array))) == array.sum()
