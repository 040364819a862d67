"""What goes wrong around the window: nothing is lost, it is told once, and work goes on."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Timer
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Labels, Layer
from napari.utils.notifications import notification_manager

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.descriptions import describe_prompt
from napari_fastsam3d._napari.frame import frame_of_layer
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session

INSIDE, BESIDE = (6, 6, 5), (2, 12, 5)


@pytest.fixture
def volume() -> Volume:
    voxels = np.zeros((20, 24, 16), np.int16)
    voxels[4:9, 4:9, 4:8] = 300
    return Volume.from_array(voxels, np.diag([-2.0, -2.0, 2.0, 1.0]), name="block")


@pytest.fixture
def opened(make_widget: Callable[..., Any], volume: Volume, settle: Any) -> tuple[Any, Any]:
    viewer, widget = make_widget()
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    notification_manager.records.clear()
    return viewer, widget


def click(widget: Any, index: tuple[int, int, int] = INSIDE) -> None:
    widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])


def told() -> list[str]:
    return [note.message for note in notification_manager.records]


def shows_the_session(widget: Any) -> bool:
    shown = widget.view.frame.source_view(widget.view.mask.layer.data)
    return bool(np.array_equal(shown, widget.view.session.label_map()))


def test_a_window_closed_in_the_middle_of_a_click_keeps_it(
    opened: tuple[Any, Any], volume: Volume, flood: Any, qtbot: Any, monkeypatch: Any
) -> None:
    viewer, widget = opened
    begun, gate = Event(), Event()
    segment = type(flood).segment

    def slowly(*arguments: Any) -> Any:
        begun.set()
        gate.wait(60)
        return segment(*arguments)

    monkeypatch.setattr(type(flood), "segment", slowly)
    click(widget)
    qtbot.waitUntil(begun.is_set, timeout=60_000)
    Timer(0.3, gate.set).start()
    viewer.close()
    qtbot.wait(600)
    assert told() == []
    with Session(volume, model=flood, journal=True) as again:
        assert [p.index for p in again.state.objects[0].prompts] == [INSIDE]
        again.wait()
        assert again.mask()[INSIDE]


def test_a_model_thread_that_dies_is_replaced_and_prompts_stay(
    opened: tuple[Any, Any], flood: Any, settle: Any, monkeypatch: Any
) -> None:
    _, widget = opened
    click(widget)
    settle(widget)
    with monkeypatch.context() as patch:
        patch.setattr(type(flood), "segment", lambda *_: sys.exit("the thread dies"))
        click(widget, BESIDE)
        settle(widget)
    (message,) = told()
    assert "died" in message
    assert len(widget.view.prompts) == 2
    assert len(widget.view.points.layer.data) == 2
    assert widget.view.session.mask()[INSIDE]
    click(widget, (3, 13, 5))
    settle(widget)
    assert len(told()) == 1
    mask = widget.view.session.mask()
    assert mask[INSIDE]
    assert mask[BESIDE]
    assert shows_the_session(widget)


def _journals() -> Path:
    return Path(os.environ["XDG_DATA_HOME"]) / "napari-fastsam3d" / "sessions"


@contextmanager
def _no_file_may_grow(beyond: int) -> Iterator[None]:
    """Let the system refuse to make any file larger, as a full disk does."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_FSIZE and XDG")
def test_a_full_disk_is_told_once_and_caught_up_with(
    opened: tuple[Any, Any], volume: Volume, flood: Any, settle: Any
) -> None:
    viewer, widget = opened
    click(widget)
    settle(widget)
    (journal,) = _journals().glob("*.journal")
    with _no_file_may_grow(journal.stat().st_size):
        for index in (BESIDE, (3, 13, 5), (4, 14, 6)):
            click(widget, index)
            settle(widget)
        assert "WORK NOT SAVED" in widget.status.facts.text()
    (message,) = told()
    assert "journal" in message
    assert len(widget.view.prompts) == 4
    click(widget, (5, 15, 6))
    settle(widget)
    assert "work saved" in widget.status.facts.text()
    assert len(told()) == 1
    expected = widget.view.session.label_map()
    viewer.layers.remove(widget.view.image)
    settle(widget)
    with Session(volume, model=flood, journal=True) as again:
        assert len(again.state.objects[0].prompts) == 5
        assert np.array_equal(again.label_map(), expected)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs XDG")
def test_a_folder_that_can_not_be_written_to_is_told_once(
    make_widget: Callable[..., Any], volume: Volume, settle: Any
) -> None:
    _journals().parent.mkdir(parents=True)
    _journals().write_text("a file is where the folder should be")
    notification_manager.records.clear()
    viewer, widget = make_widget()
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    for index in (INSIDE, BESIDE):
        click(widget, index)
        settle(widget)
    (message,) = told()
    assert str(_journals()) in message
    assert "WORK NOT SAVED" in widget.status.facts.text()
    assert widget.view.session.mask()[INSIDE]
    _journals().unlink()
    click(widget, (3, 13, 5))
    settle(widget)
    assert "work saved" in widget.status.facts.text()


def _foreign(make_widget: Any, settle: Any, volume: Volume, **place: Any) -> tuple[Any, Any]:
    viewer, widget = make_widget()
    viewer.add_image(volume.voxels.copy(), name="foreign", **place)
    settle(widget)
    notification_manager.records.clear()
    return viewer, widget


MOVES = [
    {"scale": (4.0, 2.0, 2.0)},
    {"affine": np.diag([1.0, 1.5, 1.0, 1.0])},
    {"scale": (4.0, 2.0, 2.0), "translate": (1.0, 2.0, 3.0), "units": ("mm", "mm", "mm")},
]


@pytest.mark.parametrize("move", MOVES)
def test_a_place_changed_after_the_first_click_is_told_and_taken(
    make_widget: Any, settle: Any, volume: Volume, qtbot: Any, tmp_path: Path, move: dict[str, Any]
) -> None:
    viewer, widget = _foreign(make_widget, settle, volume, scale=(2, 2, 2))
    click(widget)
    settle(widget)
    old, image = widget.view, widget.view.image
    for name, value in move.items():
        setattr(image, name, value)
    qtbot.waitUntil(lambda: widget.view is not old, timeout=60_000)
    settle(widget)
    # napari warns of units that differ while the other layers still have the old ones.
    assert [
        "foreign was changed" in each for each in told() if "nconsistent units" not in each
    ] == [True]
    assert len(widget.view.prompts) == 1
    assert widget.view.session.mask()[INSIDE]
    assert shows_the_session(widget)
    fresh = frame_of_layer(image)
    listed = widget.prompt_list.list.item(0).text()
    assert listed == describe_prompt(widget.view.prompts[0], fresh.volume)
    assert np.allclose(widget.view.frame.volume.affine, fresh.volume.affine)
    assert np.allclose(widget.view.frame.spacing, fresh.spacing)
    saved = nib.load(widget.view.session.save(tmp_path / "m.nii.gz"))
    assert np.allclose(saved.affine, fresh.volume.affine, atol=1e-5)
    for layer in widget.view.layers:
        assert np.allclose(layer.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
        assert layer.units == image.units
    assert sum(isinstance(each, Labels) for each in viewer.layers) == 1


def test_a_scale_that_is_changed_before_the_first_click_is_taken(
    make_widget: Any, settle: Any, volume: Volume, qtbot: Any
) -> None:
    _, widget = _foreign(make_widget, settle, volume)
    old = widget.view
    widget.view.image.scale = (3, 1, 1)
    qtbot.waitUntil(lambda: widget.view is not old, timeout=60_000)
    assert np.allclose(widget.view.frame.volume.spacing, (3, 1, 1))
    assert told() == []
    again = widget.view
    widget.view.image.scale = (3, 1, 1)
    widget.view.image.name = "renamed"
    qtbot.wait(500)
    assert widget.view is again


def test_a_scale_that_is_none_is_refused_and_nothing_is_lost(
    make_widget: Any, settle: Any, volume: Volume, qtbot: Any
) -> None:
    _, widget = _foreign(make_widget, settle, volume)
    click(widget)
    settle(widget)
    old = widget.view
    flat = np.eye(4)
    flat[:2, 1] = 1, 1e-5
    old.image.affine = flat
    qtbot.waitUntil(lambda: bool(told()), timeout=60_000)
    assert "geometry" in told()[0]
    assert widget.view is old
    assert widget.view.session.mask()[INSIDE]


@pytest.mark.parametrize("move", MOVES[:3])
def test_a_scan_of_ours_that_is_shown_elsewhere_keeps_its_geometry(
    opened: tuple[Any, Any], volume: Volume, settle: Any, qtbot: Any, move: dict[str, Any]
) -> None:
    _, widget = opened
    click(widget)
    settle(widget)
    view = widget.view
    for name, value in move.items():
        setattr(view.image, name, value)
    qtbot.waitUntil(lambda: bool(told()), timeout=60_000)
    (message,) = told()
    assert "its file" in message
    assert widget.view is view
    assert np.array_equal(view.frame.volume.affine, volume.affine)
    for layer in view.layers:
        there, here = (each.data_to_world((1, 2, 3)) for each in (layer, view.image))
        assert np.allclose(there, here)
    before = view.session.mask()
    click(widget, BESIDE)
    settle(widget)
    assert view.session.mask()[BESIDE]
    assert before[INSIDE]
    assert shows_the_session(widget)


def test_other_voxels_in_the_image_begin_anew_on_the_same_grid(
    opened: tuple[Any, Any], volume: Volume, settle: Any
) -> None:
    viewer, widget = opened
    click(widget)
    settle(widget)
    image, old = widget.view.image, widget.view
    before = old.mask.layer.data.copy()
    image.data = np.flip(np.asarray(image.data), axis=1).copy()
    settle(widget)
    assert widget.view is not old
    assert widget.view.session.state.objects == ()
    assert np.allclose(widget.view.frame.volume.affine, volume.affine)
    voxels = widget.view.frame.view(widget.view.frame.volume.voxels)
    assert np.array_equal(voxels, image.data)
    (message,) = told()
    assert "replaced" in message
    masks = [each for each in viewer.layers if isinstance(each, Labels)]
    assert len(masks) == 2
    assert np.array_equal(masks[0].data, before)
    assert not masks[0].visible
    click(widget, widget.view.frame.source_index(np.argwhere(np.asarray(image.data))[0]))
    settle(widget)
    assert widget.view.session.mask().any()
    assert shows_the_session(widget)


def test_an_image_of_another_shape_is_another_scan(opened: tuple[Any, Any], settle: Any) -> None:
    _, widget = opened
    widget.view.image.data = np.zeros((30, 31, 32), np.int16)
    settle(widget)
    assert widget.view.mask.layer.data.shape == (30, 31, 32)
    assert told() == []


def test_another_model_puts_few_journals_aside(
    opened: tuple[Any, Any], settle: Any, flood: Any, monkeypatch: Any
) -> None:
    from napari_fastsam3d._napari import model_loader
    from napari_fastsam3d.session import ModelThread

    _, widget = opened
    click(widget)
    settle(widget)
    expected = widget.view.session.label_map()
    monkeypatch.setattr(model_loader, "model_thread", lambda *_, **__: ModelThread(flood))
    for _ in range(8):
        widget.workspace.change_model("flood", "cpu")
        settle(widget)
    assert np.array_equal(widget.view.session.label_map(), expected)
    assert len(list(_journals().glob("*.journal"))) <= 6
