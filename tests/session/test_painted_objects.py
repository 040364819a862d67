"""Objects that are painted by hand, beside a notebook of arrays: each voxel is where it is due.

No model is needed for this, so what every object holds is known to the voxel.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest
from brightness_model import BrightnessModel
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.session import Session

SHAPE = (6, 5, 4)
VOLUME = Volume.from_array(np.arange(120, dtype=np.int16).reshape(SHAPE))
voxels = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])
strokes = st.lists(voxels, max_size=12)
drawn = st.lists(voxels, min_size=1, max_size=30)
picks = st.integers(0, 20)


def array(indices) -> np.ndarray:
    grid = np.zeros(SHAPE, bool)
    for index in indices:
        grid[index] = True
    return grid


def connected_part(grid: np.ndarray, start) -> np.ndarray:
    """The voxels that can be walked to from one over faces, that one included in any case."""
    reached, left = {tuple(start)}, [tuple(start)] if grid[tuple(start)] else []
    while left:
        at = left.pop()
        for axis in range(3):
            for step in (-1, 1):
                to = tuple(x + step * (axis == n) for n, x in enumerate(at))
                inside = all(0 <= x < n for x, n in zip(to, SHAPE, strict=True))
                if inside and grid[to] and to not in reached:
                    reached.add(to)
                    left.append(to)
    return array(reached)


@dataclass
class Page:
    """What the notebook says of one object: what was painted, and what it was locked with."""

    painted: np.ndarray
    newest: int
    locked: np.ndarray | None = None

    @property
    def own(self) -> np.ndarray:
        return self.painted if self.locked is None else self.locked


@dataclass
class Notebook:
    pages: dict[int, Page]
    rule: str = "keep"
    objects: int = 0
    prompts: int = 0

    def order(self) -> list[int]:
        """Those first that hold a voxel against the others."""
        loose = [n for n, page in self.pages.items() if page.locked is None]
        if self.rule == "overwrite":
            loose.sort(key=lambda n: -self.pages[n].newest)
        return [n for n in self.pages if n not in loose] + loose

    def above(self, number: int) -> list[int]:
        if self.rule == "share" or self.pages[number].locked is not None:
            return []
        order = self.order()
        return order[: order.index(number)]

    def shown(self, number: int) -> np.ndarray:
        mask = self.pages[number].own.copy()
        for other in self.above(number):
            mask &= ~self.pages[other].own
        return mask

    def holder(self, number: int, index) -> int | None:
        return next((n for n in self.above(number) if self.pages[n].own[index]), None)

    def labels(self) -> np.ndarray:
        grid = np.zeros(SHAPE, int)
        for number in reversed(self.order()):
            grid[self.pages[number].own] = number
        return grid


class Painters(RuleBasedStateMachine):
    """Drives a session by hand, without a click."""

    @initialize()
    def begin(self):
        self.model = BrightnessModel()
        self.session = Session(VOLUME, model=self.model)
        self.book = Notebook({})
        self.done, self.undone = [], []

    def teardown(self):
        if hasattr(self, "session"):
            assert not self.model.asked
            self.session.close()

    def step(self, change, command) -> None:
        """Do a command, write in the notebook what it changes, and compare where that is."""
        before = deepcopy(self.book)
        change(self.book)
        result = command()
        self.done.append(before)
        self.undone.clear()
        self.check_box(before, result)

    def check_box(self, before: Notebook, result) -> None:
        box = array([])
        box[result.box.slices] = True
        assert not ((before.labels() != self.book.labels()) & ~box).any()
        both = before.pages.keys() & self.book.pages.keys()
        if result.object in both:
            number = result.object
            assert not ((before.shown(number) ^ self.book.shown(number)) & ~box).any()

    def pick(self, number: int) -> int:
        return list(self.book.pages)[number % len(self.book.pages)]

    def has_objects(self) -> bool:
        return bool(self.book.pages)

    @rule(indices=drawn)
    def begin_object(self, indices):
        def change(book):
            book.objects += 1
            book.prompts += 1
            book.pages[book.objects] = Page(array(indices), book.prompts)

        mask = Mask.of_indices(indices)
        self.step(change, lambda: self.session.add_mask(mask, value=self.book.objects))

    @precondition(has_objects)
    @rule(number=picks, added=strokes, removed=strokes)
    def paint(self, number, added, removed):
        chosen = self.pick(number)
        plus, minus = Mask.of_indices(added), Mask.of_indices(removed)
        if not (added or removed):
            return
        if self.book.pages[chosen].locked is not None:
            with pytest.raises(SessionError, match="locked"):
                self.session.edit_mask(plus, minus, chosen)
            return

        def change(book):
            book.prompts += 1
            page = book.pages[chosen]
            page.newest = book.prompts
            page.painted = (page.painted | array(added)) & ~array(removed)

        self.step(change, lambda: self.session.edit_mask(plus, minus, chosen))

    @precondition(has_objects)
    @rule(number=picks, accept=st.booleans())
    def lock(self, number, accept):
        chosen = self.pick(number)
        if self.book.pages[chosen].locked is not None:
            return
        shown = self.book.shown(chosen)
        command = self.session.accept_object if accept else self.session.lock_object
        self.step(
            lambda book: setattr(book.pages[chosen], "locked", shown), lambda: command(chosen)
        )

    @precondition(has_objects)
    @rule(number=picks)
    def unlock(self, number):
        chosen = self.pick(number)
        self.step(
            lambda book: setattr(book.pages[chosen], "locked", None),
            lambda: self.session.unlock_object(chosen),
        )

    @rule(rule=st.sampled_from(["keep", "overwrite", "share"]))
    def set_overlap(self, rule):
        self.step(lambda book: setattr(book, "rule", rule), lambda: self.session.set_overlap(rule))

    @precondition(has_objects)
    @rule(number=picks)
    def remove(self, number):
        chosen = self.pick(number)
        if self.book.pages[chosen].locked is not None:
            with pytest.raises(SessionError, match="locked"):
                self.session.remove_object(chosen)
            return
        self.step(lambda book: book.pages.pop(chosen), lambda: self.session.remove_object(chosen))

    @precondition(has_objects)
    @rule(number=picks, index=voxels)
    def take_over(self, number, index):
        winner = self.pick(number)
        holder = self.book.holder(winner, index)
        if holder is None or self.book.pages[holder].locked is not None:
            with pytest.raises(SessionError, match="No other object" if holder is None else "lock"):
                self.session.take_over(index, winner)
            return
        claimed = self.book.pages[winner].own & self.book.pages[holder].own
        lost = connected_part(claimed, index)

        def change(book):
            book.prompts += 1
            page = book.pages[holder]
            page.newest = book.prompts
            page.painted = page.painted & ~lost

        self.step(change, lambda: self.session.take_over(index, winner))
        assert self.session.state.current == winner

    @precondition(lambda self: self.done)
    @rule()
    def undo(self):
        before = self.book
        self.undone.append(before)
        self.book = self.done.pop()
        self.check_box(before, self.session.undo())

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self):
        before = self.book
        self.done.append(before)
        self.book = self.undone.pop()
        self.check_box(before, self.session.redo())

    @invariant()
    def every_voxel_is_where_the_notebook_has_it(self):
        empty = []
        for number in self.book.pages:
            shown = self.book.shown(number)
            assert np.array_equal(self.session.mask(number), shown)
            if not shown.any():
                empty.append(number)
        assert self.session.empty_objects() == empty
        values = {each.id: each.value for each in self.session.state.objects}
        wanted = np.zeros(SHAPE, int)
        for number, value in values.items():
            wanted[self.book.labels() == number] = value
        assert np.array_equal(self.session.label_map(), wanted)


TestPainters = Painters.TestCase
TestPainters.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
