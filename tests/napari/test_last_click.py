"""What the last click did out of sight, or could not do, and the remedies that are offered."""

from collections.abc import Callable

import numpy as np
import pytest
from rod_and_ball import AIR, BALL, END, ROD, SHAPE, scan
from scene import Scene

from napari_fastsam3d._napari.panels.notice import Notice


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """A rod and a ball in a body, seen in axial slices through the middle."""
    scene = make_scene(scan())
    scene.do("axial")
    scene.view.navigation.go_to_slice(2, ROD[2])
    return scene


def told(scene: Scene) -> tuple[str, list[str]] | None:
    """What the notice on the picture says and offers; None where it is hidden."""
    notice: Notice = scene.widget.notice
    if notice.isHidden():
        return None
    return notice.text.text(), [each.text() for each in notice.buttons]


def press(scene: Scene, text: str) -> None:
    next(each for each in scene.widget.notice.buttons if each.text() == text).click()
    scene.settle()


def slices(mask: np.ndarray) -> list[int]:
    """Which axial slices of the file a mask is in."""
    return np.flatnonzero(mask.any(axis=(0, 1))).tolist()


def far_click(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """A third click that takes the rod away from end to end; the masks before and after."""
    scene.click(ROD)
    scene.click(BALL)
    assert told(scene) is None  # what the first two do is expected
    before = scene.session.mask()
    scene.view.navigation.go_to_slice(2, END[2])
    scene.click(END, "exclude")
    return before, scene.session.mask()


def test_a_large_change_out_of_sight_is_told_turned_to_and_taken_back(scene: Scene) -> None:
    before, after = far_click(scene)
    lost = before & ~after
    assert len(slices(lost)) > 40
    sentence, choices = told(scene)
    assert sentence.startswith("Out of sight the mask changed by −")
    assert choices == ["Show it", "Leave it as it was there", "Undo"]
    assert "(Shift+J)" in scene.widget.status.facts.text()

    # It turns to where most was lost; the slices around the click count as seen.
    far = scene.work.last_click.far_change
    assert not any(abs(at - END[2]) * 3 <= 20 for at in slices(far.removed.volume(SHAPE)))
    press(scene, "Show it")
    at = scene.view.navigation.source_slice()
    counts = far.removed.volume(SHAPE).sum(axis=(0, 1))
    assert counts[at] == counts.max()
    press(scene, "Leave it as it was there")
    kept = scene.session.mask()
    assert np.array_equal(kept, after | far.removed.volume(SHAPE))
    assert told(scene) is None
    scene.do("undo")
    assert np.array_equal(scene.session.mask(), after)
    scene.do("undo")
    assert np.array_equal(scene.session.mask(), before)
    assert told(scene) is None  # a step that is taken back is not a click
    assert scene.why_not("show_change") == "The last click changed nothing out of sight."


def test_what_was_put_away_is_not_shown_again_for_the_same_click(scene: Scene) -> None:
    far_click(scene)
    scene.widget.notice.close_button.click()
    assert told(scene) is None
    scene.view.run(lambda session: session.rename_object(1, "rod"))
    scene.settle()
    assert told(scene) is None
    scene.do("undo")
    scene.do("redo")
    assert told(scene) is None


def test_in_3d_there_is_no_slice_to_tell_of(scene: Scene) -> None:
    scene.click(ROD)
    scene.click(BALL)
    scene.work.viewer.dims.ndisplay = 3
    scene.settle()
    scene.view.run(lambda session: session.add_point(END, positive=False))
    scene.settle()
    sentence, _ = told(scene)
    assert "slice" not in sentence
    assert scene.work.last_click.far_slices() == ""
    steps = scene.view.navigation.steps()
    scene.do("show_change")
    assert scene.view.navigation.steps() == steps


def test_a_click_in_the_air_is_told_until_it_is_taken_back(scene: Scene) -> None:
    scene.click(AIR)
    assert told(scene) == ("That click lies in the air around the patient.", ["Undo"])
    press(scene, "Undo")
    assert told(scene) is None
    assert scene.objects == ()
    scene.do("redo")
    assert told(scene) is not None
    scene.click(ROD)
    assert told(scene) is None


@pytest.mark.parametrize("locked", [False, True])
def test_a_voxel_that_another_object_keeps_is_told_with_the_way_to_it(
    scene: Scene, locked: bool
) -> None:
    scene.click(ROD)
    scene.view.run(lambda session: session.rename_object(1, "rod"))
    if locked:
        scene.do("lock_object")
    scene.do("next_object")
    assert scene.why_not("take_over") == "No other object keeps the voxel of the last click."
    scene.click(ROD)
    if locked:
        keeps = "The voxel you clicked belongs to rod, which is locked and keeps it."
        assert told(scene) == (keeps, ["Unlock rod"])
        scene.widget.notice.close_button.click()
        scene.click((14, 18, 24))
        assert told(scene) == (keeps, ["Unlock rod"])  # it is another click
        press(scene, "Unlock rod")
        assert scene.objects[0].locked is None
    keeps = "The voxel you clicked belongs to rod, which keeps it."
    assert told(scene) == (keeps, ["Let this object win here"])
    assert scene.work.last_click.holder.name == "rod"
    press(scene, "Let this object win here")
    assert told(scene) is None
    region = scene.session.region
    clicked = scene.view.prompts[-1].index if not locked else (14, 18, 24)
    assert region(2).contains(clicked)
    assert not region(1).contains(clicked)
    while scene.session.can_undo:
        scene.do("undo")
    assert scene.objects == ()
    assert told(scene) is None


def test_another_scan_or_another_object_has_clicks_of_its_own(scene: Scene) -> None:
    far_click(scene)
    first, last = scene.view, scene.work.last_click
    result = last.result
    assert result is not None
    scene.do("next_object")
    assert last.result is None
    assert last.click is None
    scene.do("object_before")
    assert last.result is result
    assert last.click == first.prompts[-1]
    scene.open(scan())
    assert told(scene) is None
    assert (last.result, last.click, last.far_change) == (None, None, None)
    scene.widget.scan.choose(first.image)
    scene.settle()
    assert last.result is None  # the times of clicks of another while ago say nothing


def test_what_a_session_notes_is_shown_with_what_can_be_done(scene: Scene) -> None:
    scene.click(ROD)
    scene.session.noted.emit("Something is to be known.")
    scene.settle()
    assert told(scene) == ("Something is to be known.", [])
    scene.do("next_object")
    scene.click(ROD)
    scene.do("object_before")
    scene.view.navigation.go_to_slice(2, 0)

    # An object of which another keeps all is named, and a rule that would show it is offered.
    scene.session.noted.emit("An object is covered.")
    scene.settle()
    assert told(scene) == ("An object is covered.", ["Show object 2", "Newer objects win"])
    press(scene, "Show object 2")
    assert scene.current is not None
    assert scene.current.id == 2
    assert scene.view.navigation.source_slice() == ROD[2]
    scene.session.noted.emit("An object is covered.")
    scene.settle()
    press(scene, "Newer objects win")
    assert scene.session.state.overlap == "overwrite"
    assert scene.session.region(2).contains(ROD)
    scene.do("undo")
    assert not scene.session.region(2).contains(ROD)
