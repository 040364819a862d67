"""Masks without a prompt, what is found by likeness, caches and lassos, beside plain searches."""

from collections import OrderedDict

import numpy as np
import pytest
from brightness_model import Answer, BrightnessModel, pooled
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference import automatic
from napari_fastsam3d.inference.adapted import AdaptedModels
from napari_fastsam3d.inference.automatic import AutomaticStructure, segment_automatically
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Point, Scribble
from napari_fastsam3d.inference.recall_prompts import WithAdapter
from napari_fastsam3d.inference.structure_search import _likest_near, _likest_point, likeness
from napari_fastsam3d.inference.sure_part import sure_part

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20)


class BrighterThan(BrightnessModel):
    """Finds what is brighter than a level, without being told where."""

    encoder_fingerprint = "one encoder"

    def __init__(self, level: float, **given) -> None:
        super().__init__(**given)
        self.level = level

    def segment(self, encoded, points, labels, box, previous):
        assert len(points) == 0
        logits = np.nan_to_num(pooled(encoded, 2) - self.level, nan=-self.level)
        return Answer(pooled(logits, 2), logits.astype(np.float32), min(1.0, self.level / 200))


def scan(shape=(70, 60, 50), spacing=(2.0, 2.0, 2.0)):
    """A large bright organ, a small brighter one in it, and dark speckles everywhere."""
    grid = np.indices(shape)

    def ball(centre, radius):
        away = sum((x - c) ** 2 for x, c in zip(grid, centre, strict=True))
        return away <= radius**2

    organ, core = ball((38, 30, 25), 18), ball((40, 32, 24), 6)
    voxels = np.where(core, 200, np.where(organ, 100, 0)).astype(np.float32)
    voxels += np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    return Volume.from_array(voxels, spacing=spacing), Mask.of_volume(organ), Mask.of_volume(core)


def looked_for(name, level, spacing=2.0):
    model = BrighterThan(level, size=32, spacings=(2.0, 4.0), start_spacing=2.0)
    return AutomaticStructure(name, model, spacing)


def test_a_structure_larger_than_a_crop_is_drawn_in_tiles_and_a_small_one_in_one():
    volume, organ, core = scan()
    asked = [looked_for("organ", 50), looked_for("core", 150)]
    base = asked[0].predictor
    found = segment_automatically(volume, base, asked)
    assert [each.name for each in found] == ["organ", "core"]
    for each, truth in zip(found, (organ, core), strict=True):
        assert each.mask.agreement(truth) > 0.93, each.name
    assert [each.predicted_iou for each in found] == [0.25, 0.75]


def test_a_scan_is_looked_at_from_afar_once_for_all_structures():
    volume, _, _ = scan()
    large, small, same = (looked_for(str(level), level) for level in (50, 150, 155))
    afar = len(CropPolicy.of(volume, large.predictor).covering())
    segment_automatically(volume, large.predictor, [large, small, same])
    assert large.predictor.looked > 2 * afar, "in tiles, which must not drive out the others"
    assert small.predictor.looked <= 2, "near by, and once more around what was drawn"
    assert same.predictor.looked <= small.predictor.looked


def test_what_is_not_there_has_an_empty_mask():
    volume, _, _ = scan()
    asked = looked_for("gold", 1000)
    (found,) = segment_automatically(volume, asked.predictor, [asked])
    assert found.mask.is_empty
    assert found.predicted_iou == 0


def test_looking_is_told_and_can_be_stopped():
    volume, _, _ = scan()
    asked, told = looked_for("organ", 50), []
    segment_automatically(volume, asked.predictor, [asked], lambda *done: told.append(done))
    assert told == [("Looking for organ", 0, 1), ("Looking for organ", 1, 1)]
    calls = iter(range(99))

    def stop():
        if next(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        segment_automatically(volume, asked.predictor, [asked], go_on=stop)


@few
@given(SEEDS, st.floats(0.05, 1.0))
def test_small_pieces_go_and_large_ones_stay_with_their_logits(seed, least):
    logits = np.random.default_rng(seed).normal(-0.6, 1, (7, 6, 5)).astype(np.float32)
    kept = automatic._pieces(logits, least)
    labels, count = ndimage.label(logits > 0)
    sizes = [np.count_nonzero(labels == n) for n in range(1, count + 1)]
    for number, size in enumerate(sizes, start=1):
        part = labels == number
        if size < least * max(sizes):
            assert (kept[part] <= -1).all()
        else:
            np.testing.assert_array_equal(kept[part], logits[part])
    np.testing.assert_array_equal(kept[labels == 0], logits[labels == 0])


@pytest.mark.parametrize("side", [2, 5, 64])
def test_tiles_count_most_in_their_middle_and_never_nothing(side):
    ramp = automatic._ramp(side)
    assert ramp.min() > 0
    assert ramp[side // 2, side // 2, side // 2] == ramp.max()
    for axis in range(3):
        np.testing.assert_allclose(ramp, np.flip(ramp, axis), rtol=1e-5)
        assert (np.diff(np.take(ramp, side // 2, axis)[side // 2, : (side + 1) // 2]) > 0).all()


class Adapter:
    """Counts how often it was put to a model."""

    spacing = 1.25

    def __init__(self, identity):
        self.structure = self.identity = identity
        self.fitted = 0

    def fitted_to(self, predictor):
        self.fitted += 1
        return (self.identity, predictor)


def test_an_adapter_is_put_to_a_model_once_and_found_by_what_prompts_name():
    known = {name: Adapter(name) for name in ("a", "b")}
    models = AdaptedModels("model", known.get)
    click = Point(1, (0, 0, 0))
    for _ in range(3):
        found = models.of([WithAdapter("liver", "a"), click])
        assert (found.predictor, found.spacing) == (("a", "model"), 1.25)
    assert known["a"].fitted == 1
    assert known["b"].fitted == 0
    assert models.of([click]) is None
    assert models.of([WithAdapter("liver", "gone"), click]) is None
    known["gone"] = Adapter("gone")
    assert models.of([WithAdapter("liver", "gone")]) is not None, "it may come back"


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "get"]), st.integers(0, 5), st.integers(0, 9)), max_size=30
)


@few
@given(STEPS, st.integers(0, 20))
def test_a_cache_is_an_ordered_dictionary_that_forgets(steps, budget):
    cache, held = Cache[int, str](budget, len), OrderedDict()
    for what, key, weight in steps:
        if what == "get":
            assert cache.get(key) == held.get(key)
            if key in held:
                held.move_to_end(key)
        else:
            value = "x" * weight
            cache.put(key, value)
            held.pop(key, None)
            held[key] = value
            while sum(map(len, held.values())) > budget and len(held) > 1:
                held.popitem(last=False)
        assert len(cache) == len(held)
        assert [n in cache for n in range(6)] == [n in held for n in range(6)]


@few
@given(SEEDS, st.integers(0, 2))
def test_of_a_lasso_the_inner_half_of_its_depth_is_sure(seed, axis):
    rng = np.random.default_rng(seed)
    shape = [9, 8, 7]
    shape[axis] = 1
    drawn = ndimage.binary_closing(rng.random(shape) < 0.5, np.ones([min(3, n) for n in shape]))
    drawn |= np.arange(drawn.size).reshape(shape) == 0
    spacing = (1.0, 1.5, 2.0)
    mask = Mask.of(
        Box((2, 3, 4), tuple(a + n for a, n in zip((2, 3, 4), shape, strict=True))), drawn
    )
    lasso = Scribble(1, PackedMask.of(mask), filled=True)
    inside = {tuple(index) for index in np.argwhere(mask.voxels) + mask.box.start}
    plane = [a for a, n in enumerate(mask.box.shape) if n > 1] or [0]
    reach = [range(-10, 11) if a in plane else [0] for a in range(3)]
    offsets = np.stack(np.meshgrid(*reach, indexing="ij"), -1).reshape(-1, 3)
    lengths = np.linalg.norm(offsets * spacing, axis=1)
    order = np.argsort(lengths, kind="stable")
    depth = {}
    for index in inside:
        for at in order:
            if tuple(index + offsets[at]) not in inside:
                depth[index] = lengths[at]
                break
    wanted = {index for index, far in depth.items() if far >= 0.5 * max(depth.values()) - 1e-9}
    sure = sure_part(lasso, spacing)
    assert {tuple(i) for i in np.argwhere(sure.voxels) + sure.box.start} == wanted
    line = Scribble(1, PackedMask.of(mask), filled=False)
    assert sure_part(line, spacing).equals(mask), "all of a line is meant"


@few
@given(SEEDS, st.integers(1, 6))
def test_likeness_is_the_mean_cosine_with_the_likest_descriptors(seed, count):
    rng = np.random.default_rng(seed)
    fine, coarse = rng.normal(size=(4, 4, 4, 3)), rng.normal(size=(2, 2, 2, 5))
    descriptors = rng.normal(size=(count, 8)).astype(np.float32)
    got = likeness((fine.astype(np.float32), coarse.astype(np.float32)), descriptors)
    for cell in np.ndindex(4, 4, 4):
        near, far = fine[cell], coarse[tuple(n // 2 for n in cell)]
        own = np.concatenate([near / np.linalg.norm(near), far / np.linalg.norm(far)])
        cosines = sorted(float(own @ each) / 2**0.5 for each in descriptors.astype(float))
        assert got[cell] == pytest.approx(np.mean(cosines[-3:]), abs=1e-4)


@few
@given(st.tuples(*3 * [st.integers(0, 7)]))
def test_a_lone_peak_is_found_in_the_middle_of_its_cell(cell):
    similar = np.full((8, 8, 8), -1.0, np.float32)
    similar[cell] = 1.0
    np.testing.assert_allclose(_likest_point(similar), [4 * n + 1.5 for n in cell], atol=1e-3)


def test_a_place_near_by_is_taken_before_a_slightly_likelier_one_far_away():
    volume = Volume.from_array(np.zeros((64, 64, 64), np.uint8), spacing=(1.0, 1.0, 1.0))
    crop = Crop.around(volume, [31.5, 31.5, 31.5], spacing=1.0, size=64)
    similar = np.zeros((16, 16, 16), np.float32)
    similar[4, 4, 4], similar[14, 14, 14] = 0.8, 0.85
    point, found = _likest_near(similar, crop, np.full(3, 17.5, np.float32))
    np.testing.assert_allclose(point, 17.5, atol=0.1)
    assert found == pytest.approx(0.8)
    _, found = _likest_near(similar, crop, np.full(3, 57.5, np.float32))
    assert found == pytest.approx(0.85)
