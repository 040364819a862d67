"""How deep a box is taken to be that was drawn in one slice, with a model that is a formula."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.box_depth import as_settled, read_guessed
from napari_fastsam3d.inference.prompt import BoxPrompt, Point, Prompt
from napari_fastsam3d.inference.step import Step

SHAPE = (10, 11, 12)
VOLUME = Volume.from_array(np.zeros(SHAPE, dtype=np.int16))


def filled(box: Box) -> Mask:
    return Mask.of(box, np.ones(box.shape, dtype=np.bool_)) if not box.is_empty else Mask.empty()


class Model:
    """Finds of a structure what the newest box holds, and all of it for a click inside."""

    def __init__(self, structure: Box) -> None:
        self.structure = structure
        self.boxes: list[Box] = []
        self.clicks = 0

    def advance(self, before: Step, prompts: Sequence[Prompt]) -> Step:
        newest = prompts[-1]
        if isinstance(newest, BoxPrompt):
            assert newest.guessed is None, "the model is never given a guess"
            self.boxes.append(newest.box)
            return Step(filled(self.structure.intersection(newest.box)))
        assert isinstance(newest, Point)
        self.clicks += 1
        return Step(
            filled(self.structure) if self.structure.contains(newest.index) else before.mask
        )


def ranges(length: int):
    pairs = st.tuples(st.integers(0, length - 1), st.integers(1, 5))
    return pairs.map(lambda pair: (pair[0], min(pair[0] + pair[1], length)))


@st.composite
def boxes(draw) -> Box:
    sides = [draw(ranges(n)) for n in SHAPE]
    return Box(tuple(a for a, _ in sides), tuple(b for _, b in sides))


@given(boxes(), boxes(), st.integers(0, 2), st.booleans())
def test_a_guessed_box_reaches_a_voxel_round_what_it_holds(structure, drawn, axis, known):
    model = Model(structure)
    before = Step(filled(structure)) if known else Step()

    step = read_guessed(VOLUME, model.advance, before, [BoxPrompt(1, drawn, axis)])

    # The side walls of a rectangle are meant, its depth is not.
    taken = step.box
    assert taken is not None
    for other in {0, 1, 2} - {axis}:
        assert (taken.start[other], taken.stop[other]) == (drawn.start[other], drawn.stop[other])
    low, high = taken.start[axis], taken.stop[axis]
    assert 0 <= low <= drawn.start[axis]
    assert drawn.stop[axis] <= high <= SHAPE[axis]
    through = drawn.stretched(axis, 0, SHAPE[axis])
    seen = structure.intersection(through if known else drawn)
    if seen.is_empty:
        assert taken == drawn
    else:
        assert low == min(drawn.start[axis], max(structure.start[axis] - 1, 0))
        assert high == max(drawn.stop[axis], min(structure.stop[axis] + 1, SHAPE[axis]))
    assert step.mask.equals(filled(structure.intersection(taken)))
    assert len(model.boxes) <= 2, "each reading costs the model a pass"
    assert model.clicks == (not known and not seen.is_empty)


def test_a_box_that_is_meant_is_read_as_it_is():
    model, drawn = Model(Box((0, 0, 0), (9, 9, 9))), Box((2, 2, 2), (5, 5, 3))
    step = read_guessed(VOLUME, model.advance, Step(), [BoxPrompt(1, drawn)])
    assert (model.boxes, model.clicks, step.box) == ([drawn], 0, None)


def test_prompts_before_the_box_are_given_with_it():
    seen = []

    def advance(before: Step, prompts: Sequence[Prompt]) -> Step:
        seen.append(tuple(type(each) for each in prompts))
        return Step()

    read_guessed(VOLUME, advance, Step(), [Point(1, (3, 3, 3)), BoxPrompt(2, VOLUME_BOX, 2)])
    assert seen == [(Point, BoxPrompt)]


VOLUME_BOX = Box((2, 2, 5), (6, 6, 6))
OLDER = BoxPrompt(1, Box((0, 0, 0), (2, 2, 2)))
GUESS = BoxPrompt(3, VOLUME_BOX, 2)
CLICK = Point(2, (1, 1, 1))
TAKEN = Box((2, 2, 3), (6, 6, 9))


@pytest.mark.parametrize(
    ("prompts", "box", "settled"),
    [
        ([CLICK], TAKEN, [CLICK]),
        ([OLDER, CLICK, GUESS], None, [OLDER, CLICK, GUESS]),
        ([OLDER, GUESS, CLICK], TAKEN, [OLDER, BoxPrompt(3, TAKEN), CLICK]),
        ([GUESS, CLICK], TAKEN, [BoxPrompt(3, TAKEN), CLICK]),
    ],
    ids=["no box", "nothing was a guess", "the newest box alone", "the only box"],
)
def test_later_prompts_see_the_newest_box_as_it_was_taken(prompts, box, settled):
    assert [*as_settled(prompts, box)] == settled
