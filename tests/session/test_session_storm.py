"""A hasty user and a model that fails now and then: in the end log and masks agree."""

import random
from contextlib import suppress

import pytest
from ball_and_slab import BALL, SHAPE, SLAB, ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import FastSAM3DError, SessionError
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.session import Session

TIMEOUT = 30


class FlakyModel(BrightnessModel):
    """Fails at one of eight questions, the same ones for the same seed."""

    def __init__(self, seed: int):
        super().__init__(size=16)
        self.dice = random.Random(seed)
        self.well = False

    def segment(self, *prompts):
        if not self.well and self.dice.random() < 1 / 8:
            raise RuntimeError("no luck")
        return super().segment(*prompts)


def act(session: Session, user: random.Random) -> list:
    """Do one thing without waiting; what makes no sense is refused."""
    commands = session.futures
    prompts = [p.id for o in session.state.objects for p in o.prompts] or [1]
    objects = [o.id for o in session.state.objects] or [1]
    index = tuple(user.randrange(n) for n in SHAPE)
    choices = [
        *[lambda: commands.add_point(index, positive=user.random() < 0.7)] * 6,
        commands.undo,
        commands.redo,
        commands.new_object,
        lambda: commands.select_object(user.choice(objects)),
        lambda: commands.delete_prompt(user.choice(prompts)),
        lambda: commands.move_prompt(user.choice(prompts), index),
        lambda: commands.flip_prompt(user.choice(prompts)),
        lambda: commands.remove_object(user.choice(objects)),
        session.wait,
    ]
    with suppress(FastSAM3DError):
        future = user.choice(choices)()
        return [future] if future is not None else []
    return []


@pytest.mark.parametrize("seed", range(40))
def test_log_and_masks_agree_after_the_storm(seed):
    volume, user, model = ball_and_slab(), random.Random(seed), FlakyModel(seed)
    with Session(volume, model=model) as session:
        futures = [future for _ in range(40) for future in act(session, user)]
        model.well = True
        session.wait()
        assert all(future.done() for future in futures)
        fresh = Replay(volume, BrightnessModel(size=16))
        for each in session.state.objects:
            assert fresh.step(each.prompts).mask.equals(session._scheduler.masks.own(each))


def test_what_could_not_be_taken_back_is_not_saved_as_if_nothing_were(volume, model, tmp_path):
    with Session(volume, model=model) as session:
        model.may_go_on.clear()
        session.futures.add_point(BALL)
        session.futures.new_object()
        assert model.is_waiting.wait(TIMEOUT)
        session.futures.add_point(SLAB)
        session.futures.undo()  # before the model ever saw it
        model.may_go_on.set()
        session.wait()
        model.error = RuntimeError("broken")
        model.may_go_on.clear()
        model.is_waiting.clear()
        redone = session.futures.redo()
        assert model.is_waiting.wait(TIMEOUT)
        session.futures.new_object()  # the log goes on, so that the redo can't be taken back
        model.may_go_on.set()
        assert isinstance(redone.exception(TIMEOUT), SessionError)
        with pytest.raises(SessionError, match="object 2 doesn't follow"):
            session.save(tmp_path / "mask.nii.gz")
        assert session.save(tmp_path / "ball.nii.gz", object=1).exists()
        model.error = None
        assert session.save(tmp_path / "mask.nii.gz").exists()
        assert session.mask(2)[SLAB]
