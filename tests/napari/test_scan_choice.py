"""The chosen scan stays chosen, whatever becomes of its name and of the layers beside it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from scene import BALL, OTHER, SHAPE, Scene, scan, two_balls

from napari_fastsam3d._napari.panels.scan import scan_facts
from napari_fastsam3d.geometry import Volume


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """T1 is chosen and has an object; T2 was opened after it."""
    notification_manager.records.clear()
    scene = make_scene(scan("T1"), scan("T2", voxels=two_balls() + 1))
    choose(scene, "T1")
    scene.click(BALL)
    return scene


def layer(scene: Scene, name: str) -> Any:
    return next(each for each in scene.work.viewer.layers if each.name == name)


def choose(scene: Scene, name: str) -> None:
    """Choose an entry of the combo box, as the user does."""
    combo = scene.widget.scan.combo.native
    combo.setCurrentIndex(combo.findText(name))
    scene.settle()


def offered(scene: Scene) -> tuple[list[str], str]:
    """The scans that can be chosen, and the one that is."""
    combo = scene.widget.scan.combo.native
    return [combo.itemText(row) for row in range(1, combo.count())], combo.currentText()


def test_a_renamed_scan_is_offered_by_its_new_name_and_stays_chosen(scene: Scene) -> None:
    first = scene.view
    layer(scene, "T1").name = "before contrast"
    scene.settle()
    assert offered(scene) == (["before contrast", "T2"], "before contrast")
    assert scene.view is first
    scene.work.viewer.add_layer(Labels(np.zeros(SHAPE, np.uint8)))
    scene.settle()
    assert scene.view is first
    layer(scene, "T2").name = "T1"  # the name that the other one had
    scene.settle()
    assert offered(scene) == (["before contrast", "T1"], "before contrast")
    assert scene.view is first
    choose(scene, "T1")
    assert scene.view is not first
    choose(scene, "before contrast")
    assert scene.view is first
    assert len(scene.objects) == 1
    first.image.visible = False
    scene.settle()
    first.image.name = "native"
    scene.settle()
    assert scene.widget.visibility_banner.text.text().startswith("native is hidden")


def test_the_other_layers_may_come_go_and_change_places(scene: Scene) -> None:
    first, viewer = scene.view, scene.work.viewer
    labels = scene.session.label_map().copy()
    viewer.layers.move(0, len(viewer.layers))
    viewer.add_layer(Image(np.zeros(SHAPE), name="foreign", blending="additive"))
    viewer.layers.remove(layer(scene, "T2"))
    scene.settle()
    assert scene.view is first
    assert offered(scene)[1] == "T1"
    assert "T2" not in offered(scene)[0]
    viewer.layers.reverse()
    scene.settle()
    assert scene.view is first
    assert np.array_equal(scene.session.label_map(), labels)
    scene.do("undo")
    assert scene.objects == ()


def test_where_the_chosen_scan_leaves_another_takes_its_place(scene: Scene) -> None:
    viewer = scene.work.viewer
    viewer.layers.remove(layer(scene, "T1"))
    scene.settle()
    assert scene.view.image.name == "T2"
    assert offered(scene) == (["T2"], "T2")
    masks = [each.name for each in viewer.layers if isinstance(each, Labels)]
    assert len(masks) == 2  # the mask with an object stays, as an ordinary layer
    viewer.layers.remove(layer(scene, "T2"))
    scene.settle()
    assert scene.view is None
    assert offered(scene) == ([], "-----")
    assert scene.widget.scan.facts.isHidden()
    assert not scene.widget.objects.overlap.isEnabled()
    assert scene.widget.objects.list.count() == 0


def test_choosing_none_puts_the_layers_away_and_choosing_again_brings_them(scene: Scene) -> None:
    first = scene.view
    choose(scene, "-----")
    assert scene.view is None
    assert not first.mask.layer.visible
    assert not first.points.layer.visible
    choose(scene, "T1")
    assert scene.view is first
    assert first.mask.layer.visible
    assert scene.widget.objects.list.count() == 1


def test_each_list_is_of_the_scan_that_is_chosen(scene: Scene) -> None:
    widget = scene.widget

    def counts() -> tuple[int, int, int]:
        steps = widget.history.steps.rowCount() - 1
        return widget.objects.list.count(), widget.prompt_list.list.count(), steps

    assert counts() == (1, 1, 1)
    choose(scene, "T2")
    assert counts() == (0, 0, 0)
    scene.click(OTHER)
    scene.click(BALL, "exclude")
    scene.do("next_object")
    assert counts() == (2, 0, 3)
    choose(scene, "T1")
    assert counts() == (1, 1, 1)
    scene.do("undo")
    assert counts() == (0, 0, 1)
    choose(scene, "T2")
    assert counts() == (2, 0, 3)
    scene.do("object_before")
    assert counts()[:2] == (2, 2)


def test_an_image_that_can_not_be_segmented_is_told_once_and_the_next_one_is_taken(
    scene: Scene, qtbot: Any
) -> None:
    flat = Image(np.zeros((20, 30)), name="flat", blending="additive")
    scene.work.viewer.add_layer(flat)
    scene.settle()
    assert scene.view.image.name == "T1"  # an image of others is offered, and not taken
    choose(scene, "flat")
    qtbot.waitUntil(lambda: bool(notification_manager.records), timeout=60_000)
    scene.settle()
    told = [note.message for note in notification_manager.records]
    assert told == ["'flat' is flat. Choose a volume with three axes."]
    assert scene.messages[-1] == told[0]
    assert scene.view is None
    choose(scene, "T1")
    assert len(scene.objects) == 1


def test_the_facts_tell_grid_tilt_and_what_was_assumed(
    make_scene: Callable[..., Scene], qtbot: Any
) -> None:
    tilt = np.deg2rad(20)
    affine = np.diag([0.8, 0.8, 5.0, 1.0])
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    volume = Volume.from_array(two_balls(), turn @ affine, name="tilted", notes=("Mended.",))
    scene = make_scene(volume)
    facts = scene.widget.scan.facts.text().splitlines()
    assert facts == [
        "40 × 48 × 30 voxels, 0.8 × 0.8 × 5 mm",
        "Oblique by 20°: shown along its own axes, saved as it is.",
        "Mended.",
    ]
    scene.work.viewer.add_layer(Image(two_balls(), name="foreign", units=("pixel",) * 3))
    choose(scene, "foreign")
    qtbot.waitUntil(lambda: scene.view is not None and scene.view.image.name == "foreign")
    scene.settle()
    size, *notes = scan_facts(scene.view.frame).splitlines()
    assert size == "40 × 48 × 30 voxels, 1 × 1 × 1 mm"
    assert len(notes) == 1
    assert "it is taken to lie as tilted does" in notes[0]
    assert "It names no unit of length" in notes[0]
    assert not scene.view.frame.oriented
