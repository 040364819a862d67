"""What was drawn, painted or frozen stays: against a loop over voxels that knows only the rules."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.clean_up import CleanUp
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.edits import apply_edit, enforce_edits
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Choice, Edit, Freeze, Point, Scribble

SHAPE = (7, 6, 5)
SPACING = (3.0, 4.0, 6.0)
REACH = 15.0  # mm around a click in which it frees what a clean-up changed
CLEAN_UP = CleanUp.of("holes")

voxels = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])


@st.composite
def masks(draw, least: int = 0) -> Mask:
    places = draw(st.lists(voxels, min_size=least, max_size=12))
    return Mask.of_indices(places) if places else Mask.empty()


@st.composite
def boxes(draw) -> Box:
    one, other = draw(voxels), draw(voxels)
    start = tuple(map(min, one, other))
    stop = tuple(max(a, b) + 1 for a, b in zip(one, other, strict=True))
    return Box(start, stop)


packed = masks().map(PackedMask.of)
lines = masks(least=1).map(PackedMask.of)
prompts = st.one_of(
    st.builds(Point, st.just(1), voxels, st.booleans()),
    st.builds(Edit, st.just(2), packed, packed, st.none() | st.just(CLEAN_UP)),
    st.builds(Freeze, st.just(3), boxes()),
    st.builds(Scribble, st.just(4), lines, st.booleans()),
    st.builds(BoxPrompt, st.just(5), boxes()),
    st.builds(Choice, st.just(6), st.integers(0, 2)),
)


@dataclass
class Rules:
    """Walks through the prompts for one voxel, the oldest first."""

    prompts: list
    frozen: list[np.ndarray]

    def belongs(self, voxel: tuple[int, ...], said: bool) -> bool:
        fixed = (Edit, Freeze, Scribble)
        kinds = [isinstance(prompt, fixed) for prompt in self.prompts]
        if True not in kinds:
            return said
        frozen = iter(self.frozen)
        inside = said
        for place, prompt in enumerate(self.prompts):
            if place < kinds.index(True):
                continue
            match prompt:
                case Point() if prompt.index == voxel:
                    inside = prompt.positive
                case Edit():
                    inside = self.edited(voxel, inside, prompt, self.prompts[place + 1 :])
                case Freeze():
                    held = next(frozen)
                    inside = bool(held[voxel]) if prompt.box.contains(voxel) else inside
                case Scribble() if prompt.voxels.unpack().contains(voxel):
                    inside = prompt.positive
                case _:
                    pass
        return inside

    def edited(self, voxel: tuple[int, ...], inside: bool, edit: Edit, later: list) -> bool:
        freed = set()
        for click in later if edit.by is not None else ():
            if isinstance(click, Point):
                away = np.subtract(voxel, click.index) * SPACING
                if (away**2).sum() <= REACH**2:
                    freed.add(click.positive)
        if edit.added.unpack().contains(voxel) and False not in freed:
            inside = True
        if edit.removed.unpack().contains(voxel) and True not in freed:
            inside = False
        return inside


@given(masks(), st.lists(prompts, max_size=6), st.data())
def test_every_voxel_obeys_the_newest_that_says_something_of_it(mask, given_prompts, data):
    held = [data.draw(masks()) for each in given_prompts if isinstance(each, Freeze)]
    boxed = [p.box for p in given_prompts if isinstance(p, Freeze)]
    frozen = [m.inside(box) for m, box in zip(held, boxed, strict=True)]

    found = enforce_edits(mask, given_prompts, frozen, SPACING).volume(SHAPE)

    rules = Rules(given_prompts, [m.volume(SHAPE) for m in frozen])
    said = mask.volume(SHAPE)
    wanted = [rules.belongs(voxel, bool(said[voxel])) for voxel in np.ndindex(SHAPE)]
    np.testing.assert_array_equal(found.ravel(), wanted)


@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=1, max_size=3), st.booleans())
def test_around_later_clicks_a_clean_up_gives_way_and_a_hand_does_not(seed, signs, cleaned):
    rng = np.random.default_rng(seed)
    said, added, removed = rng.random((3, *SHAPE)) < 0.5
    plus, minus = (PackedMask.of(Mask.of_volume(each)) for each in (added & ~removed, removed))
    edit = Edit(1, plus, minus, CLEAN_UP if cleaned else None)
    places = [tuple(int(n) for n in rng.integers(0, SHAPE)) for _ in signs]
    clicks = [Point(2, place, sign) for place, sign in zip(places, signs, strict=True)]

    found = enforce_edits(Mask.of_volume(said), [edit, *clicks], (), SPACING).volume(SHAPE)

    rules = Rules([edit, *clicks], [])
    wanted = [rules.belongs(voxel, bool(said[voxel])) for voxel in np.ndindex(SHAPE)]
    np.testing.assert_array_equal(found.ravel(), wanted)


@given(masks(), packed, packed)
def test_an_edit_adds_and_then_removes(mask, added, removed):
    found = apply_edit(mask, Edit(1, added, removed)).volume(SHAPE)
    plus, minus = added.unpack().volume(SHAPE), removed.unpack().volume(SHAPE)
    np.testing.assert_array_equal(found, (mask.volume(SHAPE) | plus) & ~minus)


@given(masks(), st.lists(st.builds(Point, st.just(1), voxels, st.booleans())))
def test_without_anything_drawn_the_very_mask_comes_back(mask, clicks):
    assert enforce_edits(mask, clicks) is mask


@pytest.mark.parametrize(("positive", "kept"), [(True, "added"), (False, "removed")])
def test_a_click_frees_only_what_a_clean_up_did_against_it(positive, kept):
    """Painted voxels stay, however near a newer click lies."""
    near, clicked = (1, 1, 1), (2, 1, 1)
    spot = PackedMask.of(Mask.of_indices([near]))
    click = Point(2, clicked, positive)
    for by in (None, CLEAN_UP):
        added = enforce_edits(Mask.empty(), [Edit(1, spot, PackedMask(), by), click])
        removed = enforce_edits(spot.unpack(), [Edit(1, PackedMask(), spot, by), click])
        stays = {"added": added.contains(near), "removed": not removed.contains(near)}
        assert stays[kept]
        assert stays == dict.fromkeys(stays, True) or by is not None
