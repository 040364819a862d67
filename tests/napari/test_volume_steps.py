"""From one time point to the next with the masks: in a file, and in an array of another reader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image
from scene import SHAPE, Scene, ball, scan

from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.session import MaskPrompt

PLACES = ((14, 20, 12), (16, 20, 12), (18, 20, 12))


def beating() -> np.ndarray:
    """A ball that moves by two voxels from time to time, (time, I, J, K)."""
    voxels = np.zeros((3, *SHAPE), np.int16)
    for time, place in enumerate(PLACES):
        voxels[time][ball(place)] = 300
    return voxels


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "beating.nii"
    nib.save(nib.Nifti1Image(np.moveaxis(beating(), 0, -1), np.diag([3.0, 3, 3, 1])), found)
    return found


def until(scene: Scene, qtbot: Any, told: str) -> None:
    """Wait until the status line says this."""
    qtbot.waitUntil(lambda: any(told in each for each in scene.messages), timeout=60_000)
    scene.settle()


def go(scene: Scene, qtbot: Any, by: int, told: str) -> None:
    scene.do("next_volume" if by > 0 else "volume_before")
    until(scene, qtbot, told)


def time_of(scene: Scene) -> int | None:
    """Which volume of the series is segmented."""
    if scene.view is None:
        return None
    shown = scene.view.frame.volume.voxels
    return next(time for time, each in enumerate(beating()) if np.array_equal(each, shown))


def frame(scene: Scene) -> int | None:
    return scene.view.frame.volume.source.frame


def test_objects_go_on_from_volume_to_volume_of_a_file(
    make_scene: Callable[..., Scene], qtbot: Any, path: Path
) -> None:
    scene = make_scene(read_volume(path, frame=0))
    first = scene.view
    scene.click(PLACES[0])
    scene.view.run(lambda session: session.rename_object(1, "ventricle"))
    go(scene, qtbot, 1, "1 object carried on to volume 2 of")
    assert frame(scene) == 1
    (own,) = scene.objects
    assert own.name == "ventricle"
    assert isinstance(own.prompts[0], MaskPrompt)
    assert scene.session.mask()[PLACES[0]]
    carried = scene.session.mask()
    while scene.session.can_undo:
        scene.do("undo")
    assert scene.objects == ()
    while scene.session.can_redo:
        scene.do("redo")
    assert np.array_equal(scene.session.mask(), carried)

    # Back in the first one, which is open, nothing is carried over its own objects.
    go(scene, qtbot, -1, "was begun before, so nothing is carried on")
    assert scene.view is first
    assert len(scene.objects) == 1
    assert len(scene.work.images()) == 2
    go(scene, qtbot, -1, "There is no volume before this one.")


def test_a_volume_without_objects_is_left_without_a_word(
    make_scene: Callable[..., Scene], qtbot: Any, path: Path
) -> None:
    scene = make_scene(read_volume(path, frame=1))
    scene.do("next_volume")
    qtbot.waitUntil(lambda: scene.view is not None and frame(scene) == 2, timeout=60_000)
    scene.settle()
    assert scene.objects == ()
    assert not scene.view.begun
    assert not [each for each in scene.messages if "carried" in each]
    go(scene, qtbot, 1, "There is no volume after this one.")


def test_a_file_of_one_volume_says_that_it_is_alone(
    make_scene: Callable[..., Scene], qtbot: Any, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.nii"
    nib.save(nib.Nifti1Image(beating()[0], np.eye(4)), alone)
    scene = make_scene(read_volume(alone))
    go(scene, qtbot, 1, "This scan holds one volume")
    alone.unlink()
    failed: list[str] = []
    scene.work.tasks.failed.connect(failed.append)
    scene.do("next_volume")
    qtbot.waitUntil(lambda: bool(failed), timeout=60_000)
    assert failed == ["The volumes of the scan could not be listed."]
    scene.open(scan("array"))
    assert scene.why_not("next_volume") == "This scan has no other time point or channel."


def test_the_slider_of_an_array_moves_and_the_objects_with_it(
    make_scene: Callable[..., Scene], qtbot: Any
) -> None:
    scene = make_scene()
    scene.work.viewer.add_layer(Image(beating(), scale=(1, 3, 3, 3), name="series"))
    qtbot.waitUntil(lambda: scene.view is not None, timeout=60_000)
    scene.settle()
    dims = scene.work.viewer.dims
    dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: time_of(scene) == 0, timeout=60_000)
    scene.settle()
    start = scene.view
    scene.click(PLACES[0])
    assert scene.do("volume_before") == ["There is no volume before this one."]
    go(scene, qtbot, 1, "carried on to series")
    assert dims.current_step[0] == 1
    assert scene.view is not start
    assert time_of(scene) == 1
    assert scene.session.mask()[PLACES[0]]
    go(scene, qtbot, 1, "carried on to series")
    assert scene.do("next_volume") == ["There is no volume after this one."]
    assert dims.current_step[0] == 2
    scene.do("volume_before")
    scene.do("volume_before")
    qtbot.waitUntil(lambda: scene.view is start, timeout=60_000)
    scene.settle()
    assert len(scene.objects) == 1
    labels = [each.session.label_map().any() for each in scene.work.views.all]
    assert labels.count(True) == 3
