"""Whose a voxel is, colours and the JSON of actions, against loops, scikit-image and mutations."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.errors import FastSAM3DError, SessionError
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Edit, Freeze, MaskPrompt, Point
from napari_fastsam3d.session.change import Change
from napari_fastsam3d.session.codec import action_from_json, action_to_json, prompts_digest
from napari_fastsam3d.session.colour import (
    _APART,
    COLOURS,
    _lab,
    _legible,
    free_colour,
    parse_colour,
)
from napari_fastsam3d.session.label_map import (
    changed_box,
    contested,
    deepest_overlaps,
    holder_of,
    holder_of_click,
    label_map,
    overlapped,
    relabelled_box,
    shown_mask,
)
from napari_fastsam3d.session.object_actions import (
    LockObject,
    NewObject,
    RecolourObject,
    RenameObject,
    RevalueObject,
    SetOverlap,
    UnlockObject,
)
from napari_fastsam3d.session.prompt_actions import AddPrompt, DeletePrompt, FlipPrompt, MovePrompt
from napari_fastsam3d.session.state import ObjectState, SessionState

SHAPE = (5, 4, 6)
WHOLE = Box((0, 0, 0), SHAPE)
SEEDS = st.integers(0, 2**32 - 1)
RULES = st.sampled_from(["keep", "overwrite", "share"])
few = settings(max_examples=25, deadline=None)


def scene(seed, rule):
    """Three objects of random masks, some locked, the newest prompt with any of them."""
    rng = np.random.default_rng(seed)
    arrays = {n: rng.random(SHAPE) < 0.5 for n in (1, 2, 3)}
    newest = rng.permutation([10, 20, 30])
    objects = tuple(
        ObjectState(
            n,
            f"object {n}",
            int(rng.permutation([n, n + 300])[0]),
            COLOURS[n],
            (Point(int(newest[n - 1]), tuple(int(rng.integers(0, s)) for s in SHAPE)),),
            PackedMask.of(Mask.of_volume(arrays[n])) if rng.random() < 0.3 else None,
        )
        for n in (1, 2, 3)
    )
    state = SessionState(objects, 1, 4, 31, rule)
    return state, arrays, lambda each: Mask.of_volume(arrays[each.id])


def owner_of(state, arrays, voxel):
    """The object that a voxel is of, by the words of the rules."""
    claims = [each for each in state.objects if arrays[each.id][voxel]]
    locked = [each for each in claims if each.locked is not None]
    if locked:
        return min(locked, key=lambda each: each.id)
    if not claims:
        return None
    if state.overlap == "overwrite":
        return max(claims, key=lambda each: max(p.id for p in each.prompts))
    return min(claims, key=lambda each: each.id)


@few
@given(SEEDS, RULES)
def test_each_voxel_has_the_value_of_its_owner(seed, rule):
    state, arrays, masks = scene(seed, rule)
    labels = label_map(state, WHOLE, masks)
    part = Box((1, 0, 2), (4, 4, 5))
    assert np.array_equal(label_map(state, part, masks), labels[part.slices])
    assert labels.dtype == (np.uint8 if max(o.value for o in state.objects) < 256 else np.uint16)
    shown = {each.id: shown_mask(state, each.id, masks).volume(SHAPE) for each in state.objects}
    for voxel in product(*map(range, SHAPE)):
        owner = owner_of(state, arrays, voxel)
        assert labels[voxel] == (0 if owner is None else owner.value)
        for each in state.objects:
            mine = bool(arrays[each.id][voxel])
            if rule != "share" and each.locked is None:
                mine &= owner is each
            if each.locked is not None or rule == "share" or not mine:
                assert shown[each.id][voxel] == mine


@few
@given(SEEDS, RULES)
def test_who_keeps_a_click_is_the_owner_of_its_voxel(seed, rule):
    state, arrays, masks = scene(seed, rule)
    for each in state.objects:
        index = each.prompts[-1].index
        arrays[each.id][index] = True
        holder = holder_of_click(state, each.id, masks)
        assert holder == holder_of(state, each.id, index, masks)
        owner = owner_of(state, arrays, index)
        free = each.locked is not None or rule == "share"
        assert holder is (None if free or owner is each else owner)
    told = {one.object: one for one in overlapped(state, masks)}
    for each in state.objects:
        holder = holder_of_click(state, each.id, masks)
        assert (each.id in told) == (holder is not None)
        if holder is not None:
            assert told[each.id].holders == (holder.id,)
            assert told[each.id].clicks == (each.prompts[0].index,)


@few
@given(SEEDS, RULES, st.sampled_from(["value", "remove", "lock", "rule"]))
def test_where_labels_change_lies_in_the_box_that_is_told(seed, rule, what):
    state, _, masks = scene(seed, rule)
    one = state.objects[1]
    if what == "rule":
        after = replace(state, overlap="keep" if rule != "keep" else "overwrite")
    elif what == "remove":
        after = replace(state, objects=(state.objects[0], state.objects[2]))
    else:
        locked = None if one.locked is not None else PackedMask.of(masks(one))
        other = replace(one, value=77) if what == "value" else replace(one, locked=locked)
        after = replace(state, objects=(state.objects[0], other, state.objects[2]))
    box = relabelled_box(state, after, 2, masks)
    maps = [label_map(each, WHOLE, masks) for each in (state, after)]
    differs = Box.of_mask(maps[0].astype(int) != maps[1].astype(int))
    assert differs is None or box.intersection(differs) == differs


@few
@given(SEEDS, RULES)
def test_where_a_mask_changes_labels_change_nowhere_else(seed, rule):
    state, arrays, masks = scene(seed, rule)
    before, old = label_map(state, WHOLE, masks), masks(state.objects[1])
    arrays[2] = np.random.default_rng(seed + 1).random(SHAPE) < 0.3
    after, new = label_map(state, WHOLE, masks), masks(state.objects[1])
    differs = Box.of_mask(before != after)
    box = changed_box(state, old, new)
    assert differs is None or box.intersection(differs) == differs


@few
@given(SEEDS)
def test_what_is_contested_is_connected_to_the_voxel(seed):
    rng = np.random.default_rng(seed)
    own, holder = (rng.random(SHAPE) < 0.6 for _ in range(2))
    index = tuple(int(rng.integers(0, n)) for n in SHAPE)
    found = contested(Mask.of_volume(own), Mask.of_volume(holder), index).volume(SHAPE)
    parts, _ = ndimage.label(own & holder)
    wanted = (parts == parts[index]) & (parts > 0)
    wanted[index] = True
    assert np.array_equal(found, wanted)


@few
@given(SEEDS)
def test_the_deepest_overlap_is_farthest_from_its_rim(seed):
    rng = np.random.default_rng(seed)
    spacing = tuple(float(x) for x in rng.choice([0.7, 1.0, 3.0], 3))
    own = rng.random(SHAPE) < 0.8
    locked = [rng.random(SHAPE) < share for share in (0.0, 0.7, 0.9)]
    found = deepest_overlaps(Mask.of_volume(own), [Mask.of_volume(x) for x in locked], spacing)
    both = [own & other for other in locked if (own & other).any()]
    assert len(found) == len(both)
    for index, claimed in zip(found, both, strict=True):
        assert claimed[index]
        padded = ndimage.distance_transform_edt(np.pad(claimed, 1), sampling=spacing)
        depth = padded[1:-1, 1:-1, 1:-1]
        assert depth[index] == pytest.approx(depth.max(), rel=1e-5)


@few
@given(SEEDS)
def test_a_change_is_what_leads_from_one_mask_to_the_other(seed):
    rng = np.random.default_rng(seed)
    volume = Volume.from_array(np.zeros(SHAPE), spacing=(1, 2, 3))
    one, other = (rng.random(SHAPE) < 0.4 for _ in range(2))
    change = Change.between(Mask.of_volume(one), Mask.of_volume(other), volume)
    back = Change.between(Mask.of_volume(other), Mask.of_volume(one), volume)
    assert (
        change.added.union(Mask.of_volume(one))
        .without(change.removed)
        .equals(Mask.of_volume(other))
    )
    assert change.added.equals(back.removed)
    assert change.is_empty == np.array_equal(one, other)
    assert change.millilitres == (
        pytest.approx((other & ~one).sum() * 6 / 1000),
        pytest.approx((one & ~other).sum() * 6 / 1000),
    )
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        counts = (one ^ other).sum(others)
        told = [n for a, b in change.runs(axis) for n in range(a, b + 1)]
        assert sorted(told) == np.flatnonzero(counts).tolist()
        for run in change.runs(axis):
            assert counts[change.busiest(run, axis)] == counts[run[0] : run[1] + 1].max()


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=6))
def test_lightness_and_hue_are_those_of_scikit_image(colours):
    colour = pytest.importorskip("skimage.color", reason="an oracle of the extra 'train'")
    np.testing.assert_allclose(_lab(np.array(colours)), colour.rgb2lab(colours), atol=0.1)


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(0, 15), SEEDS)
def test_a_free_colour_is_told_from_those_in_use_where_one_can_be(value, count, seed):
    rng = np.random.default_rng(seed)
    used = [tuple(map(float, rng.random(3))) for _ in range(count)]
    found = free_colour(value, used)
    assert all(0 <= x <= 1 for x in found)
    taken = _lab(np.reshape(used, (-1, 3)))

    def apart(colour):
        return np.linalg.norm(_lab(np.array([colour])) - taken, axis=1).min(initial=np.inf)

    listed = [COLOURS[(value - 1 + n) % len(COLOURS)] for n in range(len(COLOURS))]
    good = [colour for colour in listed if apart(colour) >= _APART]
    if good:
        assert found == good[0]
    else:
        assert apart(found) >= max(apart(c) for c in _legible()[0][::97]) - 0.1


def test_many_objects_have_colours_that_differ():
    used: list[tuple[float, float, float]] = []
    for value in range(1, 31):
        used.append(free_colour(value, used))
    assert len(set(used)) == 30
    lab = _lab(np.array(used))
    gaps = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(30, dtype=bool)]
    assert gaps.min() > 10


@pytest.mark.parametrize(
    "value",
    [None, 3, (1, 2), (1, 2, 3, 4), "red", "123", (1, 2, "x"), (0, 0, np.nan), (True, 0, 0)],
)
def test_what_is_no_colour_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        parse_colour(value)


PACKED = PackedMask.of(Mask.of_indices([(1, 2, 3), (2, 2, 3)]))
BOX = Box((0, 1, 2), (3, 4, 4))
ACTIONS = [
    AddPrompt(1, Point(1, (1, 2, 3), False)),
    AddPrompt(1, BoxPrompt(1, BOX, 2)),
    AddPrompt(1, Freeze(1, BOX)),
    AddPrompt(1, Edit(1, PACKED, PackedMask())),
    MovePrompt(1, 2, (1, 2, 3)),
    MovePrompt(1, 2, BOX),
    FlipPrompt(1, 2),
    DeletePrompt(1, 2),
    NewObject(1, "liver", 7, MaskPrompt(1, PACKED)),
    RenameObject(1, "spleen"),
    RecolourObject(1, (0.25, 0.5, 1.0)),
    RevalueObject(1, 300),
    LockObject(1, PACKED),
    UnlockObject(1),
    SetOverlap("share"),
]
OTHERS = [None, True, -1, 1.5, "x", [], {}, [1, 2, 3, 4], {"id": 1}]


def exchanged(data, path, value):
    data = json.loads(json.dumps(data))
    *way, last = path
    part = data
    for key in way:
        part = part[key]
    part[last] = value
    return data


def leaf_paths(value, path=()):
    """The ways to every part of a JSON value."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaf_paths(part, (*path, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from leaf_paths(part, (*path, number))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda each: each.kind)
def test_any_part_of_an_action_that_is_exchanged_is_refused_or_means_what_it_says(action):
    """Nothing else is raised, and nothing is taken for what it is not."""
    data = json.loads(json.dumps(action_to_json(action)))
    for path, value in product(leaf_paths(data), OTHERS):
        if path[-1] == "guessed" and value is None:
            continue  # which is what an absent one means
        other = exchanged(data, path, value)
        try:
            read = action_from_json(other)
        except SessionError:
            continue
        again = json.loads(json.dumps(action_to_json(read)))
        assert {k: other.get(k) for k in again} == again, f"{path} became {value!r}"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda each: each.kind)
def test_an_action_of_what_is_not_there_is_refused_in_words(action):
    state = SessionState()
    if isinstance(action, SetOverlap | NewObject | AddPrompt):
        assert action.apply(state) != state
        return
    with pytest.raises(FastSAM3DError) as told:
        action.apply(state)
    assert told.value.problem
    assert told.value.remedy


@few
@given(st.permutations(range(4)))
def test_a_digest_knows_prompts_by_what_they_say_and_their_order(order):
    prompts = (
        Point(1, (1, 2, 3)),
        Point(2, (1, 2, 3), False),
        BoxPrompt(3, BOX),
        Edit(4, PACKED, PackedMask()),
    )
    mixed = tuple(prompts[n] for n in order)
    renumbered = tuple(replace(prompt, id=prompt.id + 9) for prompt in mixed)
    assert prompts_digest(renumbered) == prompts_digest(mixed)
    assert (prompts_digest(mixed) == prompts_digest(prompts)) == (list(order) == [0, 1, 2, 3])
