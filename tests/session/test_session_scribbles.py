import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, truth

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry.drawing import voxels_along
from napari_fastsam3d.session import Mask, Scribble, Session, read_prompts

X, Y, Z = BALL
ROUND = [(X - 6, Y - 6), (X - 6, Y + 6), (X + 6, Y + 6), (X + 6, Y - 6)]


def test_scribbles_and_lassos_are_steps_like_any_other(session):
    line = voxels_along([(X - 5, Y, Z), (X + 5, Y, Z), (X + 5, Y + 3, Z)])
    session.add_scribble(line)
    assert session.mask()[tuple(line.T)].all()
    first = session.mask()
    session.add_lasso((2, Z + 4), ROUND, positive=False)
    assert not session.mask()[X, Y, Z + 4]
    second = session.state.object(1).prompts[1]
    session.flip_prompt(second.id)
    assert session.mask()[X, Y, Z + 4]
    for _ in range(2):
        session.undo()
    assert np.array_equal(session.mask(), first)
    session.delete_prompt(1)
    assert not session.mask().any()
    assert [entry.added_as for entry in (second, Scribble(3, second.voxels))] == [
        "Excluding lasso for",
        "Scribble in",
    ]


def test_a_file_of_prompts_makes_the_same_masks_again(session, volume, model, tmp_path):
    session.add_lasso((0, X), [(Y - 6, Z - 6), (Y - 6, Z + 6), (Y + 6, Z + 6), (Y + 6, Z - 6)])
    session.add_scribble([(X, Y + 12, z) for z in range(Z - 3, Z + 4)], positive=False)
    file = session.save_prompts(tmp_path / "prompts.json")
    assert read_prompts(file).scan == volume.name
    with Session(volume, model=model) as other:
        other.load_prompts(file)
        assert other.state == session.state
        assert np.array_equal(other.mask(), session.mask())


def test_what_is_drawn_outside_the_volume_is_cut_off(session):
    session.add_scribble([(X, Y, Z), (X, Y, 999), (-1, 0, 0)])
    session.add_lasso((2, Z), [(X, -50), (X, 80), (X + 80, 80), (X + 80, -50)], positive=False)
    scribble, lasso = session.state.object(1).prompts
    assert scribble.voxels.box.shape == (1, 1, 1)
    assert lasso.voxels.box.stop == (*SHAPE[:2], Z + 1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda s: s.add_scribble([]),
        lambda s: s.add_scribble([(1, 2)]),
        lambda s: s.add_scribble([(1, 2, 3.5)]),
        lambda s: s.add_scribble([(1, 2, np.nan)]),
        lambda s: s.add_scribble("line"),
        lambda s: s.add_scribble([(1, 2, 1e300)]),
        lambda s: s.add_scribble([BALL], positive=1),
        lambda s: s.add_scribble([(-1, -1, -1)]),
        lambda s: s.add_lasso((2, 5), ROUND[:2]),
        lambda s: s.add_lasso((3, 5), ROUND),
        lambda s: s.add_lasso(2, ROUND),
        lambda s: s.add_lasso((2, 5.5), ROUND),
        lambda s: s.add_lasso((2, 999), ROUND),
        lambda s: s.add_lasso((2, 5), [(1.1, 1.1), (1.2, 1.1), (1.2, 1.2)]),
        lambda s: s.add_lasso((2, 5), [(1, 1), (1, np.inf), (5, 5)]),
    ],
)
def test_what_is_no_drawing_is_refused_and_changes_nothing(session, draw):
    with pytest.raises(PromptError):
        draw(session)
    assert not session.state.objects


def test_a_lasso_round_a_structure_in_any_plane_finds_it(session):
    for axis in range(3):
        centre = np.delete(BALL, axis)
        session.add_lasso((axis, BALL[axis]), np.add(centre, [(-7, -7), (-7, 7), (7, 7), (7, -7)]))
        both = session.mask() & truth(100)
        assert 2 * both.sum() / (session.mask().sum() + truth(100).sum()) > 0.7
        session.undo()


def test_cleaning_up_leaves_what_was_scribbled(session):
    session.add_point(BALL)
    far = np.array([(X, Y + 18, z) for z in range(Z - 4, Z + 5)])
    session.add_scribble(far)
    assert session.mask()[tuple(far.T)].all()
    session.clean_up("connected")
    assert session.mask()[tuple(far.T)].all()


def test_what_another_object_keeps_of_a_line_is_told_and_can_be_taken(session):
    block = np.zeros(session.volume.shape, bool)
    block[10:14, 10:14, 10:14] = True
    session.add_mask(Mask.of_volume(block), "block")
    session.new_object("line")
    line = [(i, 12, 12) for i in range(6, 13)]
    session.add_scribble(line)
    assert session.holder().name == "block"
    kept = session.kept_voxel()
    assert kept in line
    assert block[kept]
    session.take_over(kept)
    assert session.kept_voxel() is None
    assert all(session.mask()[index] for index in line)
    session.flip_prompt(session.state.object(2).prompts[-1].id)
    assert session.kept_voxel() is None
