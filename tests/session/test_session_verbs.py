import nibabel as nib
import numpy as np
import pytest
from ball_and_slab import BALL, NOTHING, SHAPE, SLAB, truth
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import CheckpointError, FastSAM3DError, PromptError, SessionError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import BoxPrompt, Mask, Point, Session, SessionState

BESIDE = (20, 25, 27)


def test_a_click_begins_an_object_and_tells_what_it_did(session):
    result = session.add_point(BALL)
    mask = session.mask()
    assert mask.shape == SHAPE
    assert mask.dtype == bool
    assert mask[BALL]
    assert 2 * (mask & truth(100)).sum() / (mask.sum() + truth(100).sum()) > 0.7
    assert result.object == session.state.current == 1
    assert result.box == Box.of_mask(mask)
    assert 0 < result.quality < 1
    assert result.milliseconds > 0
    assert not result.stale
    assert result.recalled == ()


def test_the_changed_box_is_exactly_what_changed(session):
    session.add_point(BALL)
    before = session.mask()
    result = session.add_point(BESIDE, positive=False)
    changed = before ^ session.mask()
    assert changed.any()
    assert result.box == Box.of_mask(changed)
    assert session.undo().box == result.box
    assert np.array_equal(session.mask(), before)


def test_undo_and_redo_go_all_the_way_and_back(session):
    states, masks = [session.state], [session.mask()]
    for index, positive in ((BALL, True), (BESIDE, False), ((22, 25, 20), True)):
        session.add_point(index, positive)
        states.append(session.state)
        masks.append(session.mask())
    for n in (2, 1, 0):
        session.undo()
        assert session.state == states[n]
        assert np.array_equal(session.mask(), masks[n])
    assert (session.can_undo, session.can_redo) == (False, True)
    with pytest.raises(SessionError, match="nothing to undo"):
        session.undo()
    for n in (1, 2, 3):
        session.redo()
        assert session.state == states[n]
        assert np.array_equal(session.mask(), masks[n])
    with pytest.raises(SessionError, match="nothing to redo"):
        session.redo()


def test_any_earlier_prompt_can_be_moved_flipped_and_deleted(session, volume):
    for index, positive in ((BALL, True), (BESIDE, False), (SLAB, True)):
        session.add_point(index, positive)
    session.move_prompt(1, (18, 25, 20))
    session.flip_prompt(2)
    session.delete_prompt(3)
    assert session.state.object(1).prompts == (Point(1, (18, 25, 20)), Point(2, BESIDE))
    with Session(volume, model=BrightnessModel()) as fresh:
        fresh.add_point((18, 25, 20))
        fresh.add_point(BESIDE)
        assert np.array_equal(session.mask(), fresh.mask())


def test_a_box_can_be_drawn_from_any_corner_and_moved(session):
    session.add_box((30, 35, 30), (11, 16, 11))
    assert session.state.object(1).prompts == (BoxPrompt(1, Box((11, 16, 11), (30, 35, 30))),)
    drawn = session.mask()
    assert drawn[BALL]
    session.move_prompt(1, Box((40, -5, 0), (50, 20, 99)))
    assert session.state.object(1).prompts[0].box == Box((40, 0, 0), (50, 20, 40))
    assert not session.mask()[BALL]
    session.undo()
    assert np.array_equal(session.mask(), drawn)


def test_objects_have_their_own_prompts_masks_names_values_and_colours(session):
    session.add_point(BALL)
    assert session.new_object("slab").object == 2
    session.add_point(SLAB)
    assert session.mask(1)[BALL]
    assert not session.mask(1)[SLAB]
    assert session.mask(2)[SLAB]
    assert np.array_equal(session.mask(), session.mask(2))
    session.rename_object(1, "ball")
    assert [o.name for o in session.state.objects] == ["ball", "slab"]
    session.select_object(1)
    session.add_point(BESIDE, positive=False)
    assert len(session.state.object(1).prompts) == 2
    assert len({o.colour for o in session.state.objects}) == 2


def test_removing_an_object_clears_its_mask_and_undo_brings_it_back(session):
    first = session.add_point(BALL)
    mask = session.mask()
    session.new_object()
    removed = session.remove_object(1)
    assert removed.box == first.box
    assert not session.label_map().any()
    with pytest.raises(SessionError):
        session.mask(1)
    assert session.undo().box == first.box
    assert np.array_equal(session.mask(1), mask)


def test_reset_empties_an_object_and_undo_brings_it_back(session):
    session.add_point(BALL)
    mask = session.mask()
    assert session.reset_object().box == Box.of_mask(mask)
    assert not session.mask().any()
    assert session.state.object(1).prompts == ()
    session.undo()
    assert np.array_equal(session.mask(), mask)


def test_commands_that_change_no_mask_ask_the_model_nothing(session, model):
    session.add_point(BALL)
    asked = len(model.asked)
    for result in (
        session.new_object("other"),
        session.rename_object(2, "another"),
        session.select_object(1),
        session.remove_object(2),
        session.undo(),
    ):
        assert result.box.is_empty
        assert result.quality is None
    assert len(model.asked) == asked


def test_undo_and_redo_ask_the_model_nothing(session, model):
    for index in (BALL, (22, 25, 20), (19, 25, 20)):
        session.add_point(index)
    asked = len(model.asked)
    for command in ("undo", "undo", "redo", "undo", "undo", "redo", "redo", "redo"):
        getattr(session, command)()
    assert len(model.asked) == asked


def test_selecting_is_no_step_of_undo(session):
    session.add_point(BALL)
    session.new_object()
    session.select_object(1)
    session.undo()
    assert [o.id for o in session.state.objects] == [1]
    session.add_point(BESIDE, positive=False)
    assert not session.can_redo


def test_labels_are_composed_by_value_and_the_earlier_object_keeps_a_voxel(session):
    session.add_point(BALL)
    session.new_object()
    session.new_object()
    session.remove_object(2)
    session.add_point(SLAB)
    session.add_point(BALL)
    labels = session.label_map()
    assert labels.dtype == np.uint8
    assert np.array_equal(labels == 1, session.mask(1))
    assert np.array_equal(labels == 3, session.mask(3) & ~session.mask(1))
    assert set(np.unique(labels)) == {0, 1, 3}
    box = Box((10, 10, 10), (50, 30, 30))
    assert np.array_equal(session.label_map(box), labels[box.slices])


def test_many_objects_need_wider_labels(session):
    for _ in range(256):
        session.new_object()
    session.add_point(BALL)
    labels = session.label_map(Box((19, 24, 19), (22, 26, 21)))
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {256}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("add_point", [(60, 0, 0)]),
        ("add_point", [(1.0, 2, 3)]),
        ("add_point", [(1, 2)]),
        ("add_point", [(1, 2, 3), 1]),
        ("add_box", [(0, 0, 0), (0, 5, 5)]),
        ("add_box", [(70, 0, 0), (80, 5, 5)]),
        ("move_prompt", [1, (0, 0, -1)]),
        ("move_prompt", [1, Box((0, 0, 0), (5, 5, 5))]),
        ("move_prompt", [7, (0, 0, 0)]),
        ("flip_prompt", [7]),
        ("delete_prompt", ["one"]),
    ],
)
def test_a_bad_prompt_gives_one_error_and_loses_nothing(session, command, arguments):
    session.add_point(BALL)
    state, mask = session.state, session.mask()
    for call in (getattr(session, command), getattr(session.futures, command)):
        with pytest.raises(PromptError) as caught:
            call(*arguments)
        assert caught.value.remedy
    assert session.state == state
    assert np.array_equal(session.mask(), mask)


def test_what_makes_no_sense_gives_one_error_in_words(session):
    for call in (session.reset_object, session.remove_object):
        with pytest.raises(SessionError, match="no object yet"):
            call()
    for call in (session.select_object, session.remove_object, session.mask, session.region):
        with pytest.raises(SessionError, match="no object number 4"):
            call(4)
    session.add_point(BALL)
    with pytest.raises(SessionError, match="empty"):
        session.rename_object(1, " ")
    assert session.state.object(1).name == "object 1"


def test_an_empty_session_has_an_empty_mask_and_nothing_to_save(session, tmp_path):
    assert not session.mask().any()
    assert session.region().is_empty
    assert session.crop() is None
    assert session.state == SessionState()
    path = tmp_path / "mask.nii.gz"
    with pytest.raises(SessionError, match="no mask to save"):
        session.save(path)
    session.add_point(NOTHING, positive=False)
    with pytest.raises(SessionError, match="no mask to save"):
        session.save(path)
    assert not path.exists()


def test_objects_are_saved_as_a_label_map_and_one_as_a_mask(session, volume, tmp_path):
    session.add_point(BALL)
    session.new_object("slab")
    session.add_point(SLAB)
    saved = nib.load(session.save(tmp_path / "all.nii.gz"))
    assert np.array_equal(np.asanyarray(saved.dataobj), session.label_map())
    assert np.allclose(saved.affine, volume.affine)
    one = nib.load(session.save(tmp_path / "slab.nii.gz", object=2))
    assert np.array_equal(np.asanyarray(one.dataobj), session.mask(2))


def test_what_the_model_looked_at_can_be_had(session):
    session.add_point(BALL)
    assert session.crop().contains(BALL)
    assert session.crop(object=1).spacing == 2.0


def test_looking_ahead_spares_the_click_the_encoder(session, model):
    assert session.prefetch(BALL).result()
    assert not session.prefetch(BALL).result()
    assert model.looked == 1
    asked = len(model.asked)
    session.add_point(BALL)
    assert model.looked == 1
    assert len(model.asked) == asked
    assert session.prefetch(BESIDE, positive=False).result()
    asked = len(model.asked)
    session.add_point(BESIDE, positive=False)
    assert len(model.asked) == asked
    with pytest.raises(PromptError):
        session.prefetch((99, 0, 0))


def test_a_model_that_is_not_there_is_told_and_the_prompt_taken_back(volume, tmp_path):
    with Session(volume, model=tmp_path / "absent.safetensors", device="cpu") as session:
        with pytest.raises(CheckpointError):
            session.add_point(BALL)
        assert session.state == SessionState()
        assert not session.can_undo


def test_after_closing_masks_can_be_had_and_commands_cannot(volume):
    with Session(volume, model=BrightnessModel()) as session:
        session.add_point(BALL)
    assert session.mask()[BALL]
    for call in (session.undo, lambda: session.add_point(BALL), lambda: session.prefetch(BALL)):
        with pytest.raises(SessionError, match="closed"):
            call()
    session.close()
    assert isinstance(SessionError("a", "b"), FastSAM3DError)


def test_a_name_is_given_once(session):
    session.new_object("liver")
    session.new_object("spleen")
    for take in (
        lambda: session.new_object(" Liver"),
        lambda: session.rename_object(2, "LIVER "),
        lambda: session.add_mask(Mask.of_indices([BALL]), "liver"),
    ):
        with pytest.raises(SessionError, match="Object 1 is called liver"):
            take()
    session.rename_object(1, "Liver")
    session.undo()
    session.rename_object(2, "spleen")
    assert [each.name for each in session.state.objects] == ["liver", "spleen"]


def test_names_of_a_file_that_are_taken_are_numbered(session, tmp_path):
    session.add_point(BALL)
    session.new_object("slab")
    session.add_point(SLAB)
    session.rename_object(1, "ball")
    session.save(tmp_path / "both.nrrd")
    session.open_mask(tmp_path / "both.nrrd")
    assert [o.name for o in session.state.objects] == ["ball", "slab", "ball (2)", "slab (2)"]
