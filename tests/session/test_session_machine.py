"""Random users: whatever is done in whatever order, the session keeps its promises."""

from copy import deepcopy

import numpy as np
from brightness_model import BrightnessModel
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import BoxPrompt, Point, Session
from napari_fastsam3d.session.action_json import action_from_json, action_to_json
from napari_fastsam3d.session.history import replay
from napari_fastsam3d.session.replay import Replay

SHAPE = (40, 30, 12)
voxels = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])
picks = st.integers(0, 50)


def blobs() -> Volume:
    """Smooth noise, so that every click finds something, also across crops."""
    rng = np.random.default_rng(3)
    grid = rng.integers(0, 4, [n // 4 + 1 for n in SHAPE]) * 60
    fine = grid.repeat(4, 0).repeat(4, 1).repeat(4, 2)[tuple(map(slice, SHAPE))]
    affine = np.array([[0, -1.2, 0, 5], [1.0, 0, 0, -9], [0, 0, 3.0, 2], [0, 0, 0, 1]])
    return Volume.from_array(fine.astype(np.int16), affine=affine)


VOLUME = blobs()


def new_model() -> BrightnessModel:
    return BrightnessModel(size=16, spacings=(1.0, 2.0, 4.0), start_spacing=1.0, tolerance=40.0)


class Users(RuleBasedStateMachine):
    """Drives a session, and beside it the plainest possible notebook of what it should hold."""

    @initialize()
    def begin(self):
        self.session = Session(VOLUME, model=new_model())
        self.objects: dict[int, list] = {}  # id -> [name, {prompt id: prompt}]
        self.used_objects = self.used_prompts = 0
        self.done: list = []
        self.undone: list = []

    def teardown(self):
        if hasattr(self, "session"):
            self.masks_are_those_of_a_fresh_session()
            self.session.close()

    def notebook(self):
        return deepcopy((self.objects, self.used_objects, self.used_prompts))

    def step(self):
        """Write down that a step of undo is about to be taken."""
        self.done.append(self.notebook())
        self.undone.clear()

    def verb(self, name: str, waits: bool, *arguments, **named):
        call = getattr(self.session if waits else self.session.futures, name)
        result = call(*arguments, **named)
        if not waits:
            self.session.wait()
            result = result.result(0)
        assert not result.stale
        return result

    def current(self) -> int:
        """The object that the next prompt goes to, written down if it is new."""
        current = self.session.state.current
        if current is not None:
            return current
        self.used_objects += 1
        self.objects[self.used_objects] = [f"object {self.used_objects}", {}]
        return self.used_objects

    def pick(self, number: int) -> tuple[int, int]:
        """One of all prompts there are, and its object."""
        pairs = [(o, p) for o, (_, prompts) in self.objects.items() for p in prompts]
        return pairs[number % len(pairs)]

    def pick_object(self, number: int) -> int:
        return list(self.objects)[number % len(self.objects)]

    def has_prompts(self) -> bool:
        return any(prompts for _, prompts in self.objects.values())

    @rule(index=voxels, positive=st.booleans(), waits=st.booleans())
    def add_point(self, index, positive, waits):
        self.step()
        owner = self.current()
        self.used_prompts += 1
        prompt = Point(self.used_prompts, index, positive)
        self.objects[owner][1][prompt.id] = prompt
        assert self.verb("add_point", waits, index, positive=positive).object == owner

    @rule(a=voxels, b=voxels, waits=st.booleans())
    def add_box(self, a, b, waits):
        self.step()
        owner = self.current()
        self.used_prompts += 1
        box = Box.around_points([a, b])
        self.objects[owner][1][self.used_prompts] = BoxPrompt(self.used_prompts, box)
        self.verb("add_box", waits, box.stop, box.start)

    @precondition(has_prompts)
    @rule(number=picks, index=voxels, waits=st.booleans())
    def move(self, number, index, waits):
        owner, prompt = self.pick(number)
        before = self.objects[owner][1][prompt]
        self.step()
        if isinstance(before, Point):
            to, moved = index, Point(prompt, index, before.positive)
        else:
            to = Box.around_points([index, before.box.start])
            moved = BoxPrompt(prompt, to)
        self.objects[owner][1][prompt] = moved
        self.verb("move_prompt", waits, prompt, to)

    @precondition(has_prompts)
    @rule(number=picks, waits=st.booleans())
    def flip(self, number, waits):
        owner, prompt = self.pick(number)
        before = self.objects[owner][1][prompt]
        if isinstance(before, Point):
            self.step()
            self.objects[owner][1][prompt] = Point(prompt, before.index, not before.positive)
            self.verb("flip_prompt", waits, prompt)

    @precondition(has_prompts)
    @rule(number=picks, waits=st.booleans())
    def delete(self, number, waits):
        owner, prompt = self.pick(number)
        self.step()
        del self.objects[owner][1][prompt]
        self.verb("delete_prompt", waits, prompt)

    @rule(name=st.none() | st.just("liver"))
    def new_object(self, name):
        self.step()
        self.used_objects += 1
        self.objects[self.used_objects] = [name or f"object {self.used_objects}", {}]
        assert self.session.new_object(name).object == self.used_objects

    @precondition(lambda self: self.objects)
    @rule(number=picks)
    def select(self, number):
        chosen = self.pick_object(number)
        self.session.select_object(chosen)
        assert self.session.state.current == chosen

    @precondition(lambda self: self.objects)
    @rule(number=picks, name=st.sampled_from(["spleen", "left kidney"]))
    def rename(self, number, name):
        self.step()
        self.objects[self.pick_object(number)][0] = name
        self.session.rename_object(self.pick_object(number), name)

    @precondition(lambda self: self.objects)
    @rule(number=picks)
    def remove(self, number):
        self.step()
        gone = self.pick_object(number)
        del self.objects[gone]
        self.session.remove_object(gone)

    @precondition(lambda self: self.objects)
    @rule(number=picks)
    def reset(self, number):
        self.step()
        chosen = self.pick_object(number)
        self.objects[chosen][1].clear()
        self.session.reset_object(chosen)

    @precondition(lambda self: self.done)
    @rule(waits=st.booleans())
    def undo(self, waits):
        self.undone.append(self.notebook())
        self.objects, self.used_objects, self.used_prompts = self.done.pop()
        self.verb("undo", waits)

    @precondition(lambda self: self.undone)
    @rule(waits=st.booleans())
    def redo(self, waits):
        self.done.append(self.notebook())
        self.objects, self.used_objects, self.used_prompts = self.undone.pop()
        self.verb("redo", waits)

    @precondition(lambda self: self.done)
    @rule()
    def undo_and_redo(self):
        before, labels = self.session.state.objects, self.session.label_map()
        undone = self.session.undo()
        redone = self.session.redo()
        assert undone.box == redone.box
        assert self.session.state.objects == before
        assert np.array_equal(self.session.label_map(), labels)

    @precondition(has_prompts)
    @rule()
    def masks_are_those_of_a_fresh_session(self):
        fresh = Replay(VOLUME, new_model())
        for each in self.session.state.objects:
            mask = fresh.step(each.prompts).mask
            assert mask.equals(self.session.region(each.id))

    @invariant()
    def the_state_is_what_the_notebook_says(self):
        state = self.session.state
        held = {o.id: [o.name, {p.id: p for p in o.prompts}] for o in state.objects}
        assert held == self.objects
        assert [list(o[1]) for o in held.values()] == [list(o[1]) for o in self.objects.values()]
        assert [o.value for o in state.objects] == [o.id for o in state.objects]
        assert state.current in {None, *self.objects}
        assert (state.current is None) == (not self.objects)
        assert self.session.can_undo == bool(self.done)
        assert self.session.can_redo == bool(self.undone)

    @invariant()
    def the_state_is_the_replay_of_the_log(self):
        log = self.session._engine.history.actions
        read = [action_from_json(action_to_json(action)) for action in log]
        assert replay(read).objects == self.session.state.objects

    @invariant()
    def clicks_are_obeyed(self):
        for each in self.session.state.objects:
            mask = self.session.region(each.id)
            located = any(isinstance(p, BoxPrompt) or p.positive for p in each.prompts)
            points = [p for p in each.prompts if isinstance(p, Point)]
            for index, last in {p.index: p for p in points}.items():
                assert mask.contains(index) == last.positive
            assert located or mask.is_empty

    @invariant()
    def labels_are_the_masks_the_earlier_object_first(self):
        labels = self.session.label_map()
        wanted = np.zeros(SHAPE, dtype=np.uint8)
        for each in reversed(self.session.state.objects):
            wanted[self.session.mask(each.id)] = each.value
        assert np.array_equal(labels, wanted)


TestUsers = Users.TestCase
TestUsers.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
