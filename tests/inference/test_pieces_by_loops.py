"""Pieces between prompts and masks, against ITK, scipy and loops in double precision."""

import json
import tracemalloc
import zlib
from base64 import b64encode
from itertools import pairwise, product

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.air import Air, _averaged
from napari_fastsam3d.inference.connected_components import (
    ProtectedSeeds,
    without_small_components,
)
from napari_fastsam3d.inference.locality import locally_blended
from napari_fastsam3d.inference.model_input import last_box
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    asked_for,
    has_candidates,
    locates,
    place_of,
)
from napari_fastsam3d.inference.prompt_check import box_between, point_index, positivity
from napari_fastsam3d.inference.spacing_levels import scale_of, spacing_levels
from napari_fastsam3d.model.predictor import Segmentation

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = (6, 5, 7)
few = settings(max_examples=25, deadline=None)
NO_POINTS = np.zeros((0, 3))


def spots(seed, share=0.4, shape=SHAPE):
    return np.random.default_rng(seed).random(shape) < share


@few
@given(SEEDS, st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_a_packed_mask_comes_back_also_from_json(seed, share):
    mask = Mask.of_volume(spots(seed, share))
    packed = PackedMask.of(mask)
    assert packed.unpack().equals(mask)
    assert packed.is_empty == mask.is_empty
    again = PackedMask.from_json(json.loads(json.dumps(packed.to_json())))
    assert again == packed
    assert hash(again) == hash(packed)
    assert PackedMask.of(Mask.of_volume(np.asfortranarray(spots(seed, share)))) == packed


def json_of(box, raw):
    return {"box": box, "bits": b64encode(raw).decode("ascii")}


WHOLE = zlib.compress(bytes([255] * 8))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"box": [[0, 0, 0], [4, 4, 4]]},
        json_of([[0, 0, 0], [4, 4, 4]], b"no zlib"),
        json_of([[0, 0, 0], [10**9] * 3], WHOLE),
        *(json_of([[0, 0, 0], [4, 4, 4]], WHOLE[:-cut]) for cut in (1, 4, 5, 6)),
        json_of([[0, 0, 0], [4, 4, 5]], WHOLE),
        json_of([[0, 0, 0], [4, 4, 3]], WHOLE),
        json_of([[0, 0], [4, 4]], WHOLE),
        json_of("box", WHOLE),
        json_of([[0, 0, 0], [4, 4, "4"]], WHOLE),
        {"box": [[0, 0, 0], [4, 4, 4]], "bits": "%%%"},
        {"box": [[0, 0, 0], [4, 4, 4]], "bits": 7},
    ],
)
def test_a_damaged_packed_mask_is_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        PackedMask.from_json(data)


def test_a_few_bytes_do_not_unfold_to_more_than_their_box():
    bomb = zlib.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    with pytest.raises(ValueError, match="fill"):
        PackedMask.from_json(json_of([[0, 0, 0], [4, 4, 4]], bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


@few
@given(SEEDS, st.sampled_from([0.1, 0.2, 0.3]), st.booleans())
def test_pieces_stay_and_go_as_itk_s_components_say(seed, share, faces):
    rng = np.random.default_rng(seed)
    logits = np.where(spots(seed, share), 1.0, -1.0).astype(np.float32) * rng.uniform(1, 5, SHAPE)
    points = rng.uniform(0, 4, (int(rng.integers(0, 3)), 3))
    found = without_small_components(logits.astype(np.float32), ProtectedSeeds(points, (), faces))
    image = SimpleITK.GetImageFromArray((logits > 0).astype(np.uint8))
    pieces = SimpleITK.GetArrayFromImage(SimpleITK.ConnectedComponent(image, True))
    sizes = np.bincount(pieces.ravel())
    held = set()
    for cell in product(*map(range, SHAPE)):
        near = any(np.abs(np.floor(p + 0.5) - cell).max() <= 1 for p in points)
        on_face = faces and any(n in (0, SHAPE[a] - 1) for a, n in enumerate(cell))
        if pieces[cell] and (near or on_face):
            held.add(int(pieces[cell]))
    measure = max((sizes[n] for n in held or range(1, len(sizes))), default=0)
    stays = [n for n in range(1, len(sizes)) if n in held or sizes[n] >= 0.1 * measure]
    wanted = np.isin(pieces, stays)
    assert np.array_equal(found > 0, wanted)
    assert np.array_equal(np.abs(found), np.abs(logits.astype(np.float32)))


@few
@given(SEEDS, st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 4]))
def test_cells_of_a_slice_are_means_and_the_last_repeat_the_end(seed, rows, columns):
    plane = np.random.default_rng(seed).normal(size=(7, 9)).astype(np.float32)
    found = _averaged(plane, [rows, columns])
    for i, j in np.ndindex(*found.shape):
        at = [
            plane[min(i * rows + a, 6), min(j * columns + b, 8)]
            for a in range(rows)
            for b in range(columns)
        ]
        assert found[i, j] == pytest.approx(np.mean(at), abs=1e-5)


@pytest.mark.parametrize("air", [-1000, 0])
@pytest.mark.parametrize("spacing", [(1, 1, 2), (4, 4, 4)])
def test_air_lies_around_the_patient_and_not_in_him(air, spacing):
    i, j = np.indices((60, 50))
    body = ((i - 30) / 22) ** 2 + ((j - 25) / 17) ** 2 < 1
    lung = ((i - 24) / 6) ** 2 + ((j - 25) / 6) ** 2 < 1
    plane = np.where(body & ~lung, air + 1000, air)
    voxels = np.repeat(plane[..., None], 4, 2).astype(np.int16)
    around = Air(Volume.from_array(voxels, spacing=spacing))
    assert around.holds((1, 1, 2))
    assert around.holds((58, 48, 0))
    assert not around.holds((24, 25, 2)), "a lung"
    assert not around.holds((40, 25, 2)), "the body"
    nothing = Air(Volume.from_array(np.full((9, 9, 9), 7, np.int16), spacing=spacing))
    assert not nothing.holds((0, 0, 0))


@few
@given(SEEDS, st.booleans())
def test_blending_follows_its_gaussian_cell_by_cell(seed, positive):
    rng = np.random.default_rng(seed)
    size, cells = 16, 4
    low, previous = (rng.normal(size=(cells,) * 3).astype(np.float32) for _ in range(2))
    fine = rng.normal(size=(8,) * 3).astype(np.float32)
    place = rng.uniform(0, size - 1, 3)
    found, finer = locally_blended(Segmentation(low, fine, 0.5), previous, place, positive, size)
    away = {
        cell: sum(((c + 0.5) * 4 - 0.5 - p) ** 2 for c, p in zip(cell, place, strict=True))
        for cell in np.ndindex(cells, cells, cells)
    }
    right = [d for cell, d in away.items() if (previous[cell] > 0) == positive]
    depth = max(0.0, np.sqrt(min(right)) - 4) if right else size
    for cell, squared in away.items():
        kept = 0.7 * (1 - np.exp(-squared / (2 * (10 + depth) ** 2)))
        wanted = low[cell] + kept * (previous[cell] - low[cell])
        assert found[cell] == pytest.approx(wanted, abs=1e-5)
    assert finer.shape == fine.shape
    assert np.abs(finer - fine).max() <= np.abs(found - low).max() + 1e-5


sizes = st.tuples(*[st.floats(1e-3, 1e3)] * 3)


@given(sizes, st.floats(1.001, 1.5))
def test_how_fine_a_scan_is_looked_at_grows_with_its_voxels(spacing, factor):
    larger = tuple(s * factor for s in spacing)
    assert scale_of(larger) >= scale_of(spacing) * (1 - 1e-9)
    assert scale_of(larger) <= scale_of(spacing) * factor**2 * (1 + 1e-2)
    voxel = np.prod(spacing) ** (1 / 3)
    if 0.51 < voxel < 3.99:
        assert scale_of(spacing) == 1
    if voxel < 0.25 or voxel > 16:
        assert scale_of(spacing) == pytest.approx(voxel, rel=1e-3)


@given(sizes, st.lists(st.floats(0.3, 4), min_size=1, max_size=5, unique=True))
def test_spacing_levels_rise_and_begin_with_the_model_s(spacing, of_model):
    of_model = sorted(of_model)
    if any(b / a < 1.05 for a, b in pairwise(of_model)):
        return
    found = spacing_levels(spacing, of_model)
    scale = scale_of(spacing)
    assert found[: len(of_model)] == tuple(scale * level for level in of_model)
    assert list(found) == sorted(found)
    assert scale < 1 or len(found) == len(of_model)


@given(st.tuples(*[st.integers(-3, 9)] * 3))
def test_a_click_is_a_voxel_of_the_volume_or_refused(index):
    inside = all(0 <= n < length for n, length in zip(index, SHAPE, strict=True))
    if inside:
        assert point_index(np.array(index), SHAPE) == index
    else:
        with pytest.raises(PromptError, match="outside"):
            point_index(index, SHAPE)


@pytest.mark.parametrize("index", [(1, 2), (1, 2, 3, 4), (1, 2, 0.5), "abc", None, (True, 1, 1), 3])
def test_what_is_no_voxel_is_refused(index):
    for check in (lambda: point_index(index, SHAPE), lambda: box_between(index, (1, 1, 1), SHAPE)):
        with pytest.raises(PromptError, match="not a voxel"):
            check()


@given(*[st.tuples(*[st.integers(-3, 9)] * 3)] * 2)
def test_a_box_holds_the_voxels_between_its_corners(one, other):
    spans = [sorted(pair) for pair in zip(one, other, strict=True)]
    held = [
        voxel
        for voxel in product(*map(range, SHAPE))
        if all(low <= n < high for n, (low, high) in zip(voxel, spans, strict=True))
    ]
    if not held:
        with pytest.raises(PromptError, match="no voxel"):
            box_between(one, other, SHAPE)
        return
    box = box_between(one, other, SHAPE)
    assert box == box_between(other, one, SHAPE)
    assert [v for v in product(*map(range, SHAPE)) if box.contains(v)] == held


@pytest.mark.parametrize("value", [1, 0, None, "yes", [True]])
def test_a_point_is_positive_or_negative(value):
    with pytest.raises(PromptError, match="neither"):
        positivity(value)
    assert positivity(np.True_) is True


PACKED = PackedMask.of(Mask.of_indices([(1, 2, 3), (2, 2, 3)]))
NOTHING = PackedMask()
PROMPTS = [
    (Point(1, (1, 2, 3)), True, (1, 1, 1)),
    (Point(2, (1, 2, 3), False), False, (1, 1, 1)),
    (BoxPrompt(3, Box((0, 1, 2), (3, 4, 4))), True, (3, 3, 2)),
    (MaskPrompt(4, PACKED), True, (2, 1, 1)),
    (MaskPrompt(5, NOTHING), False, (0, 0, 0)),
    (Edit(6, PACKED, NOTHING), True, (2, 1, 1)),
    (Edit(7, NOTHING, PACKED), False, (0, 0, 0)),
    (Freeze(8, Box((0, 1, 2), (3, 4, 4))), False, (3, 3, 2)),
    (Choice(9, 1), False, (0, 0, 0)),
]


@pytest.mark.parametrize(("prompt", "tells", "shape"), PROMPTS)
def test_what_prompts_tell_of_where_the_object_is(prompt, tells, shape):
    assert locates(prompt) == tells
    assert place_of(prompt).shape == shape
    assert prompt.noun
    assert prompt.added_as[0].isupper()


def test_no_two_prompts_say_the_same():
    keys = [prompt.key for prompt, _, _ in PROMPTS]
    assert len(set(keys)) == len(keys)
    assert all(type(p)(**{**vars(p), "id": 99}).key == p.key for p, _, _ in PROMPTS)


@given(st.lists(st.sampled_from([p for p, _, _ in PROMPTS]), max_size=6))
def test_choices_at_the_end_are_left_out(prompts):
    asked = list(asked_for(prompts))
    assert asked == prompts[: len(asked)]
    assert all(isinstance(p, Choice) for p in prompts[len(asked) :])
    assert not asked or not isinstance(asked[-1], Choice)
    assert has_candidates(prompts) == bool(asked and isinstance(asked[-1], Point | BoxPrompt))


@few
@given(SEEDS)
def test_a_box_stands_until_something_positive_lies_beyond_it(seed):
    rng = np.random.default_rng(seed)
    box = Box((10, 10, 10), (30, 30, 30))
    clicks = [
        Point(n + 2, tuple(int(x) for x in rng.integers(5, 35, 3)), bool(rng.random() < 0.6))
        for n in range(3)
    ]
    found = last_box([BoxPrompt(1, box), *clicks])
    positive = [p.index for p in clicks if p.positive]
    refuted = any(not (8 <= n < 32) for at in positive for n in at)
    if refuted:
        assert found is None
    else:
        assert found == Box(
            tuple(min([10, *(at[a] for at in positive)]) for a in range(3)),
            tuple(max([30, *(at[a] + 1 for at in positive)]) for a in range(3)),
        )


def test_a_moved_box_keeps_its_guess_until_its_depth_is_changed():
    box = BoxPrompt(1, Box((0, 0, 4), (9, 9, 5)), guessed=2)
    assert box.moved(Box((1, 0, 4), (9, 9, 5))).guessed == 2
    assert box.moved(Box((0, 0, 3), (9, 9, 5))).guessed is None
    assert BoxPrompt(1, box.box).moved(box.box).guessed is None
