"""Random users: whatever is done in whatever order, the session keeps its promises."""

import os
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from brightness_model import BrightnessModel
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.inference.prompt import locates
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.session import (
    BoxPrompt,
    Edit,
    Freeze,
    Mask,
    MaskPrompt,
    PackedMask,
    Point,
    Prompt,
    Scribble,
    Session,
)
from napari_fastsam3d.session.codec import action_from_json, action_to_json
from napari_fastsam3d.session.history import replay

# 5 000 steps by default; SESSION_STEPS=200000 for once.
STEPS_AT_A_TIME = 50
EXAMPLES = int(os.environ.get("SESSION_STEPS", "5000")) // STEPS_AT_A_TIME
SHAPE = (24, 18, 10)
voxels = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])
strokes = st.lists(voxels, max_size=4)
picks = st.integers(0, 50)
seldom = st.integers(0, 9)


def blobs() -> Volume:
    """Smooth noise, so that every click finds something, also across crops."""
    rng = np.random.default_rng(3)
    grid = rng.integers(0, 4, [n // 4 + 1 for n in SHAPE]) * 60
    fine = grid.repeat(4, 0).repeat(4, 1).repeat(4, 2)[tuple(map(slice, SHAPE))]
    affine = np.array([[0, -1.2, 0, 5], [1.0, 0, 0, -9], [0, 0, 3.0, 2], [0, 0, 0, 1]])
    return Volume.from_array(fine.astype(np.int16), affine=affine)


VOLUME = blobs()


def new_model() -> BrightnessModel:
    return BrightnessModel(size=8, spacings=(1.0, 2.0, 4.0), start_spacing=1.0, tolerance=40.0)


@dataclass
class Page:
    """What the notebook says of one object."""

    name: str
    value: int
    prompts: dict[int, Prompt] = field(default_factory=dict)
    colour: tuple[float, float, float] | None = None
    locked: np.ndarray | None = None
    accepted: bool = False


class Users(RuleBasedStateMachine):
    """Drives a session, and beside it the plainest possible notebook of what it should hold."""

    @initialize(kept=st.booleans())
    def begin(self, kept):
        self.folder = TemporaryDirectory() if kept else None
        self.session = self.opened()
        self.objects: dict[int, Page] = {}
        self.rule = "keep"
        self.used_objects = self.used_prompts = 0
        self.done: list = []
        self.undone: list = []

    def opened(self) -> Session:
        return Session(
            VOLUME, model=new_model(), journal=self.folder.name if self.folder else False
        )

    def teardown(self):
        if hasattr(self, "session"):
            self.masks_are_those_of_a_fresh_session()
            self.the_state_is_the_replay_of_the_log()
            self.session.close()
            if self.folder:
                self.folder.cleanup()

    def notebook(self):
        return deepcopy((self.objects, self.rule, self.used_objects, self.used_prompts))

    def turn_to(self, page):
        self.objects, self.rule, self.used_objects, self.used_prompts = page

    def step(self):
        """Write down that a step of undo is about to be taken."""
        self.done.append(self.notebook())
        self.undone.clear()

    def command(self, name: str, waits: bool, *arguments, **named):
        call = getattr(self.session if waits else self.session.futures, name)
        result = call(*arguments, **named)
        if not waits:
            self.session.wait()
            result = result.result(0)
        assert not result.stale
        return result

    def is_taken(self, name, but=None):
        return any(page.name == name and n != but for n, page in self.objects.items())

    def free_value(self, wanted: int) -> int:
        used = {page.value for page in self.objects.values()}
        return min(set(range(wanted, wanted + 99)) - used)

    def add(self, make, command: str, waits: bool, *arguments, **named):
        """Give the current object a prompt, in the notebook and by a command."""
        current = self.session.state.current
        if current is not None and self.objects[current].locked is not None:
            with pytest.raises(SessionError, match="locked"):
                self.command(command, waits, *arguments, **named)
            return
        self.step()
        if current is None:
            self.used_objects = current = self.used_objects + 1
            self.objects[current] = Page(f"object {current}", self.free_value(current))
        self.used_prompts += 1
        self.objects[current].prompts[self.used_prompts] = make(self.used_prompts)
        assert self.command(command, waits, *arguments, **named).object == current

    def pick(self, number: int) -> tuple[Page, int]:
        """One of all prompts that may be changed, and its object."""
        pairs = [(page, p) for page in self.unlocked() for p in page.prompts]
        return pairs[number % len(pairs)]

    def pick_object(self, number: int) -> int:
        return list(self.objects)[number % len(self.objects)]

    def unlocked(self) -> list[Page]:
        return [page for page in self.objects.values() if page.locked is None]

    def has_prompts(self) -> bool:
        return any(page.prompts for page in self.unlocked())

    @rule(index=voxels, positive=st.booleans())
    def rest(self, index, positive):
        """Rest the pointer somewhere, for a click that does not come."""
        self.session.prefetch(index, positive).result(30)

    @rule(index=voxels, positive=st.booleans(), waits=st.booleans(), rested=st.booleans())
    def add_point(self, index, positive, waits, rested):
        if rested:
            self.session.prefetch(index, positive)
        self.add(lambda n: Point(n, index, positive), "add_point", waits, index, positive=positive)

    @rule(index=voxels)
    def click_and_cancel(self, index):
        """Either the click was answered before it could be cancelled, or nothing was done."""
        current = self.session.state.current
        if current is not None and self.objects[current].locked is not None:
            return
        history = self.session.history
        future = self.session.futures.add_point(index)
        self.session.cancel()
        self.session.wait()
        if future.result(0).stale:
            assert self.session.history == history
            return
        self.session.undo()
        assert self.session.state.objects == history.state.objects
        self.session.redo()
        self.step()
        if current is None:
            self.used_objects = current = self.used_objects + 1
            self.objects[current] = Page(f"object {current}", self.free_value(current))
        self.used_prompts += 1
        self.objects[current].prompts[self.used_prompts] = Point(self.used_prompts, index)

    @rule(often=seldom, again=st.booleans())
    def change_model(self, often, again):
        if often:
            return
        labels, history = self.session.label_map(), self.session.history
        self.session.change_model(new_model())
        if again:
            self.session.make_masks_again()
        self.session.wait()
        assert self.session.history == history
        assert np.array_equal(self.session.label_map(), labels)

    @rule(a=voxels, b=voxels, waits=st.booleans())
    def add_box(self, a, b, waits):
        box = Box.around_points([a, b])
        self.add(lambda n: BoxPrompt(n, box), "add_box", waits, box.stop, box.start)

    @rule(a=voxels, b=voxels, waits=st.booleans())
    def freeze(self, a, b, waits):
        box = Box.around_points([a, b])
        self.add(lambda n: Freeze(n, box), "freeze_region", waits, box.stop, box.start)

    @rule(first=voxels, added=strokes, removed=strokes, waits=st.booleans())
    def edit(self, first, added, removed, waits):
        plus, minus = Mask.of_indices([first, *added]), Mask.of_indices(removed)
        packed = PackedMask.of(plus), PackedMask.of(minus)
        self.add(lambda n: Edit(n, *packed), "edit_mask", waits, plus, minus)

    @rule(first=voxels, more=strokes, positive=st.booleans(), waits=st.booleans())
    def scribble(self, first, more, positive, waits):
        line = PackedMask.of(Mask.of_indices([first, *more]))
        make = partial(Scribble, voxels=line, positive=positive)
        self.add(make, "add_scribble", waits, [first, *more], positive)

    @rule(first=voxels, more=strokes, name=st.sampled_from([None, "lung"]))
    def open_mask(self, first, more, name):
        if self.is_taken(name):
            with pytest.raises(SessionError, match="is called"):
                self.session.add_mask(Mask.of_indices([first, *more]), name)
            return
        self.step()
        mask = Mask.of_indices([first, *more])
        self.used_objects += 1
        self.used_prompts += 1
        page = Page(name or f"object {self.used_objects}", self.free_value(self.used_objects))
        page.prompts[self.used_prompts] = MaskPrompt(self.used_prompts, PackedMask.of(mask))
        self.objects[self.used_objects] = page
        self.session.add_mask(mask, name)
        assert self.session._scheduler.masks.own(self.session.state.objects[-1]).equals(mask)

    @precondition(has_prompts)
    @rule(number=picks, index=voxels, waits=st.booleans())
    def move(self, number, index, waits):
        page, prompt = self.pick(number)
        before = page.prompts[prompt]
        if isinstance(before, Edit | MaskPrompt | Scribble):
            return
        self.step()
        if isinstance(before, Point):
            to, moved = index, Point(prompt, index, before.positive)
        else:
            to = Box.around_points([index, before.box.start])
            moved = type(before)(prompt, to)
        page.prompts[prompt] = moved
        self.command("move_prompt", waits, prompt, to)

    @precondition(has_prompts)
    @rule(number=picks, waits=st.booleans())
    def flip(self, number, waits):
        page, prompt = self.pick(number)
        before = page.prompts[prompt]
        if isinstance(before, Point | Scribble):
            self.step()
            page.prompts[prompt] = replace(before, positive=not before.positive)
            self.command("flip_prompt", waits, prompt)

    @precondition(has_prompts)
    @rule(number=picks, waits=st.booleans())
    def delete(self, number, waits):
        page, prompt = self.pick(number)
        self.step()
        del page.prompts[prompt]
        self.command("delete_prompt", waits, prompt)

    @rule(name=st.none() | st.just("liver"), value=st.none() | st.integers(300, 999))
    def new_object(self, name, value):
        if self.is_taken(name):
            with pytest.raises(SessionError, match="is called"):
                self.session.new_object(name, value)
            return
        value = None if value is None else self.free_value(value)
        self.step()
        number = self.used_objects + 1
        self.objects[number] = Page(name or f"object {number}", value or self.free_value(number))
        self.used_objects = number
        assert self.session.new_object(name, value).object == number

    @precondition(lambda self: self.objects)
    @rule(number=picks)
    def select(self, number):
        chosen = self.pick_object(number)
        self.session.select_object(chosen)
        assert self.session.state.current == chosen

    @precondition(lambda self: self.objects)
    @rule(number=picks, name=st.sampled_from(["spleen", "left kidney"]))
    def rename(self, number, name):
        if self.is_taken(name, self.pick_object(number)):
            with pytest.raises(SessionError, match="is called"):
                self.session.rename_object(self.pick_object(number), name.upper())
            return
        self.step()
        self.objects[self.pick_object(number)].name = name
        self.session.rename_object(self.pick_object(number), name)

    @precondition(lambda self: self.objects)
    @rule(number=picks, value=st.integers(1, 300))
    def revalue(self, number, value):
        value = self.free_value(value)
        self.step()
        self.objects[self.pick_object(number)].value = value
        self.session.revalue_object(self.pick_object(number), value)

    @precondition(lambda self: self.objects)
    @rule(number=picks, red=st.floats(0, 1))
    def recolour(self, number, red):
        self.step()
        self.objects[self.pick_object(number)].colour = (red, 0.5, 0.0)
        self.session.recolour_object(self.pick_object(number), (red, 0.5, 0.0))

    @precondition(lambda self: self.objects)
    @rule(number=picks, waits=st.booleans(), accept=st.booleans())
    def lock(self, number, waits, accept):
        chosen = self.pick_object(number)
        page, command = self.objects[chosen], "accept_object" if accept else "lock_object"
        if page.locked is not None and not accept:
            with pytest.raises(SessionError, match="locked"):
                self.command(command, waits, chosen)
            return
        self.step()
        shown, labels = self.session.mask(chosen), self.session.label_map()
        self.command(command, waits, chosen)
        page.locked = shown if page.locked is None else page.locked
        page.accepted = page.accepted or accept
        assert np.array_equal(self.session.label_map(), labels) or self.rule == "share"

    @precondition(lambda self: any(page.locked is not None for page in self.objects.values()))
    @rule(number=picks)
    def unlock(self, number):
        self.step()
        locked = [n for n, page in self.objects.items() if page.locked is not None]
        page = self.objects[locked[number % len(locked)]]
        page.locked, page.accepted = None, False
        self.session.unlock_object(locked[number % len(locked)])

    @rule(rule=st.sampled_from(["keep", "overwrite", "share"]))
    def set_overlap(self, rule):
        self.step()
        self.rule = rule
        self.session.set_overlap(rule)

    @precondition(lambda self: self.unlocked())
    @rule(number=picks, often=seldom)
    def remove(self, number, often):
        chosen = self.pick_object(number)
        if self.objects[chosen].locked is not None:
            with pytest.raises(SessionError, match="locked"):
                self.session.remove_object(chosen)
        elif not often:
            self.step()
            del self.objects[chosen]
            self.session.remove_object(chosen)

    @precondition(lambda self: self.unlocked())
    @rule(number=picks, often=seldom)
    def reset(self, number, often):
        chosen = self.pick_object(number)
        if self.objects[chosen].locked is None and not often:
            self.step()
            self.objects[chosen].prompts.clear()
            self.session.reset_object(chosen)

    @precondition(lambda self: self.done)
    @rule(waits=st.booleans())
    def undo(self, waits):
        self.undone.append(self.notebook())
        self.turn_to(self.done.pop())
        self.command("undo", waits)

    @precondition(lambda self: self.undone)
    @rule(waits=st.booleans())
    def redo(self, waits):
        self.done.append(self.notebook())
        self.turn_to(self.undone.pop())
        self.command("redo", waits)

    @precondition(lambda self: self.done)
    @rule()
    def undo_and_redo(self):
        before, labels = self.session.state, self.session.label_map()
        undone = self.session.undo()
        redone = self.session.redo()
        assert undone.box == redone.box
        assert self.session.state.objects == before.objects
        assert self.session.state.overlap == before.overlap
        assert np.array_equal(self.session.label_map(), labels)

    @precondition(lambda self: self.folder is not None)
    @rule(often=seldom)
    def reopen(self, often):
        if often:
            return
        before, labels = self.session.state, self.session.label_map()
        self.session.close()
        self.session = self.opened()
        self.session.wait()
        assert self.session.state == before
        assert np.array_equal(self.session.label_map(), labels)

    def masks_are_those_of_a_fresh_session(self):
        fresh = Replay(VOLUME, new_model())
        for each in self.session.state.objects:
            if each.locked is None:
                assert fresh.step(each.prompts).mask.equals(self.session._scheduler.masks.own(each))

    def the_state_is_the_replay_of_the_log(self):
        log = self.session._scheduler.history.actions
        read = [action_from_json(action_to_json(action)) for action in log]
        replayed, state = replay(read), self.session.state
        assert (replayed.objects, replayed.overlap) == (state.objects, state.overlap)

    @invariant()
    def the_state_is_what_the_notebook_says(self):
        state = self.session.state
        assert [o.id for o in state.objects] == list(self.objects)
        for held, page in zip(state.objects, self.objects.values(), strict=True):
            assert (held.name, held.value) == (page.name, page.value)
            assert list(held.prompts) == list(page.prompts.values())
            assert (held.locked is not None) == (page.locked is not None)
            assert held.accepted == page.accepted
            assert page.colour in (None, held.colour)
        assert state.overlap == self.rule
        assert state.current in {None, *self.objects}
        assert (state.current is None) == (not self.objects)
        assert self.session.can_undo == bool(self.done)
        assert self.session.can_redo == bool(self.undone)

    @invariant()
    def the_newest_click_or_edit_on_a_voxel_is_obeyed(self):
        for each in self.session.state.objects:
            if each.locked is not None:
                continue
            mask = self.session._scheduler.masks.own(each).volume(SHAPE)
            said = np.full(SHAPE, -1)
            for prompt in each.prompts:
                if isinstance(prompt, Point):
                    said[prompt.index] = prompt.positive
                elif isinstance(prompt, Scribble):
                    said[prompt.voxels.unpack().volume(SHAPE)] = prompt.positive
                elif isinstance(prompt, Edit):
                    said[prompt.added.unpack().volume(SHAPE)] = True
                    said[prompt.removed.unpack().volume(SHAPE)] = False
            assert mask[said == 1].all()
            assert not mask[said == 0].any()
            assert any(map(locates, each.prompts)) or not mask.any()

    @invariant()
    def locked_voxels_never_change(self):
        for number, page in self.objects.items():
            if page.locked is not None:
                assert np.array_equal(self.session.mask(number), page.locked)
                if self.rule != "share":
                    for other, its in self.objects.items():
                        if its.locked is None:
                            assert not (self.session.mask(other) & page.locked).any()

    @invariant()
    def each_voxel_is_of_the_first_that_holds_it(self):
        newest = {n: max(page.prompts, default=0) for n, page in self.objects.items()}
        loose = [n for n, page in self.objects.items() if page.locked is None]
        if self.rule == "overwrite":
            loose.sort(key=lambda n: -newest[n])
        wanted = np.zeros(SHAPE, dtype=np.uint16)
        for number in [*(n for n in self.objects if n not in loose), *loose]:
            held = self.session._scheduler.masks.own(self.session.state.object(number)).volume(
                SHAPE
            )
            wanted[held & (wanted == 0)] = self.objects[number].value
        assert np.array_equal(self.session.label_map(), wanted)


TestUsers = Users.TestCase
TestUsers.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS_AT_A_TIME, deadline=None
)
