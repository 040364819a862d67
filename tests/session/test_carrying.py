"""Objects carried on to another time point, and to another grid of the same patient."""

import numpy as np
import pytest
from ball_and_slab import BALL
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry import Mask, Volume
from napari_fastsam3d.geometry.mask import dice
from napari_fastsam3d.session import MaskPrompt, Point, Session, carry_objects


@pytest.fixture
def started(session: Session) -> Session:
    """A ball that was clicked, something that no model would make, and an empty object."""
    session.new_object("ball", 5)
    session.add_point(BALL)
    rng = np.random.default_rng(0)
    session.add_mask(Mask.of_indices(rng.integers(0, 20, (40, 3))), "dust", 9, (0.25, 0.5, 1.0))
    session.new_object("nothing", 7)
    return session


def test_the_model_fits_a_mask_to_what_the_next_time_point_shows(started: Session) -> None:
    volume = started.volume
    moved = Volume.from_array(np.roll(volume.voxels, (1, 1), (0, 2)), volume.affine)
    with Session(moved, model=BrightnessModel()) as session:
        assert carry_objects(started, session) == ["ball", "dust"]
        ball, dust = session.state.objects
        assert (ball.name, ball.value, dust.value, dust.colour) == ("ball", 5, 9, (0.25, 0.5, 1.0))
        before = started.mask(1)
        now = np.roll(before, (1, 1), (0, 2))
        assert dice(session.mask(ball.id), now) > dice(before, now) + 0.02
        assert [type(each) for each in ball.prompts] == [MaskPrompt, Point]
        # What the model would make another thing of stays as it was.
        assert [type(each) for each in dust.prompts] == [MaskPrompt]
        assert np.array_equal(session.mask(dust.id), started.mask(2))
        with pytest.raises(SessionError):
            carry_objects(started, session)


def test_a_mask_lies_where_it_lay_in_the_patient(started: Session) -> None:
    volume = started.volume
    affine = volume.affine.copy()
    affine[:3, 0] *= -1
    affine[:3, 3] = volume.to_world((volume.shape[0] - 1, 0, 0))
    mirrored = Volume.from_array(volume.voxels[::-1], affine)
    with Session(mirrored, model=BrightnessModel()) as session:
        carry_objects(started, session)
        assert dice(session.mask(1)[::-1], started.mask(1)) > 0.9
        assert np.array_equal(session.mask(2)[::-1], started.mask(2))
