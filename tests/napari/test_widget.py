"""The widget at work, with or without a window: what the user does reaches the session and back."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Layer
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QInputDialog

from napari_fastsam3d._napari import model_loader
from napari_fastsam3d._napari import widget as widget_module
from napari_fastsam3d._napari.commands import files
from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import Mask
from napari_fastsam3d.session.commands import Commands

SHAPE = (40, 48, 30)
BALL, OTHER = (14, 20, 12), (30, 36, 20)


def ball(centre: tuple, radius: float = 6.0) -> np.ndarray:
    grid = np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(axis=0) <= radius**2


@pytest.fixture
def volume() -> Volume:
    """Two balls of 300 and 500 in water, 3 mm voxels, axes towards L, P and S."""
    voxels = np.zeros(SHAPE, np.int16)
    voxels[ball(BALL)], voxels[ball(OTHER)] = 300, 500
    affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    affine[:3, 3] = (60, 70, -40)
    return Volume.from_array(voxels, affine, name="two balls")


@pytest.fixture
def opened(make_widget: Callable[..., Any], volume: Volume, settle: Any) -> tuple[Any, Any]:
    viewer, widget = make_widget()
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    return viewer, widget


@pytest.fixture
def click(opened: tuple[Any, Any], settle: Any) -> Callable[..., None]:
    """Return a function that puts a point as napari's own tool does, at a source index."""

    def put(index: tuple, tool: str = "include") -> None:
        _, widget = opened
        widget.workspace.toolbox.use(tool)
        widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])
        settle(widget)

    return put


def shown(widget: Any) -> np.ndarray:
    """Label map (I, J, K) in source order, as the layer holds it."""
    view = widget.view
    return view.frame.orientation.source_view(view.mask.layer.data)


def messages() -> list[str]:
    return [note.message for note in notification_manager.records]


@pytest.fixture(autouse=True)
def _no_old_messages() -> None:
    notification_manager.records.clear()


def test_the_image_is_chosen_by_itself_and_a_tool_is_ready(opened: tuple[Any, Any]) -> None:
    viewer, widget = opened
    assert [layer.name for layer in viewer.layers] == [
        "two balls",
        "Segmentation",
        "Boxes",
        "Scribbles",
        "Prompts",
    ]
    assert widget.workspace.toolbox.tool == "include"
    assert viewer.layers.selection.active == widget.view.points.layer
    assert "40 × 48 × 30" in widget.scan.facts.text()
    assert "flood on cpu" in widget.status.facts.text()


def test_a_scan_that_is_open_already_is_ready_when_the_widget_is(
    make_napari_viewer: Callable[..., Any], volume: Volume, flood: Any
) -> None:
    viewer = make_napari_viewer()
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    widget = widget_module.FastSAM3DWidget(viewer, model=flood)
    viewer.window.add_dock_widget(widget)
    assert widget.view is not None
    assert widget.workspace.toolbox.tool == "include"


def test_a_click_shows_the_mask(opened: tuple[Any, Any], click: Any) -> None:
    _, widget = opened
    click(BALL)
    labels = shown(widget)
    assert labels[BALL] == 1
    overlap = 2 * (labels[ball(BALL)] > 0).sum() / ((labels > 0).sum() + ball(BALL).sum())
    assert overlap > 0.8
    assert np.array_equal(labels, widget.view.session.label_map())
    assert "ms" in widget.status.facts.text()
    assert widget.objects.list.item(0).text() == "object 1"


def test_undo_and_redo_change_mask_and_points(opened: tuple[Any, Any], click: Any, settle) -> None:
    _, widget = opened
    click(BALL)
    before = shown(widget).copy()
    click(OTHER)
    both = shown(widget).copy()
    assert both[OTHER] == 1
    widget.prompts.undo.click()
    settle(widget)
    assert np.array_equal(shown(widget), before)
    assert len(widget.view.points.layer.data) == 1
    widget.prompts.redo.click()
    settle(widget)
    assert np.array_equal(shown(widget), both)
    assert len(widget.view.points.layer.data) == 2


def test_a_negative_click_takes_away(opened: tuple[Any, Any], click: Any) -> None:
    _, widget = opened
    click(BALL)
    click(OTHER)
    click(OTHER, tool="exclude")
    assert shown(widget)[OTHER] == 0
    assert shown(widget)[BALL] == 1
    assert not widget.view.session.state.objects[0].prompts[-1].positive


def test_flipping_turns_the_last_point_or_the_selected_ones(
    opened: tuple[Any, Any], click: Any, settle: Any
) -> None:
    _, widget = opened
    click(BALL)
    click(OTHER)
    widget.prompts.flip.click()
    settle(widget)
    assert [p.positive for p in widget.view.prompts] == [True, False]
    assert shown(widget)[OTHER] == 0
    widget.workspace.toolbox.use("adjust")
    widget.view.points.layer.selected_data = {0, 1}
    widget.run("flip_point")
    settle(widget)
    assert [p.positive for p in widget.view.prompts] == [False, True]


def test_selecting_an_object_turns_to_where_it_is(
    opened: tuple[Any, Any], click: Any, settle: Any
) -> None:
    viewer, widget = opened
    click(BALL)
    widget.objects.next.click()
    settle(widget)
    click(OTHER)
    viewer.dims.set_current_step(0, 0)
    widget.objects.list.setCurrentRow(0)
    settle(widget)
    assert viewer.dims.current_step[0] == widget.view.frame.to_layer(BALL)[0][0]
    within = viewer.dims.current_step[0] + 2
    viewer.dims.set_current_step(0, within)
    widget.view.go_to_object(1)
    assert viewer.dims.current_step[0] == within


def test_deleting_a_point_in_the_layer_runs_again(
    opened: tuple[Any, Any], click: Any, settle: Any
) -> None:
    _, widget = opened
    click(BALL)
    click(OTHER)
    widget.workspace.toolbox.use("adjust")
    widget.view.points.layer.selected_data = {0}
    widget.view.points.layer.remove_selected()
    settle(widget)
    assert shown(widget)[BALL] == 0
    assert shown(widget)[OTHER] == 1


def test_a_box_drawn_in_any_plane_segments(opened: tuple[Any, Any], settle: Any) -> None:
    viewer, widget = opened
    frame = widget.view.frame
    for axis in range(3):
        centre = frame.to_layer(OTHER)[0]
        viewer.dims.order = (axis, *(i for i in range(3) if i != axis))
        viewer.dims.set_current_step(axis, int(centre[axis]))
        a, b = (i for i in range(3) if i != axis)
        corners = np.tile(centre, (4, 1))
        corners[:, a] += np.array([-7.5, 7.5, 7.5, -7.5])
        corners[:, b] += np.array([-7.5, -7.5, 7.5, 7.5])
        widget.workspace.toolbox.use("box")
        widget.view.boxes.layer.add(corners)
        settle(widget)
        assert shown(widget)[OTHER] > 0
        prompt = widget.view.current.prompts[0]
        around = Box(tuple(c - 7 for c in OTHER), tuple(c + 8 for c in OTHER))
        assert prompt.box == around.clipped(SHAPE)
        widget.prompts.reset.click()
        settle(widget)
        assert not shown(widget).any()


def test_objects_have_names_colours_and_a_file(
    opened: tuple[Any, Any], click: Any, settle: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    _, widget = opened
    click(BALL)
    widget.objects.next.click()
    settle(widget)
    click(OTHER)
    labels = shown(widget)
    assert (labels[BALL], labels[OTHER]) == (1, 2)
    widget.objects.list.item(1).setText("right kidney")
    settle(widget)
    assert widget.view.session.state.objects[1].name == "right kidney"
    widget.objects.list.setCurrentRow(0)
    settle(widget)
    assert widget.view.session.state.current == 1
    assert widget.view.points.layer.data.tolist() == widget.view.frame.to_layer(BALL).tolist()
    target = tmp_path / "mask.nii.gz"
    monkeypatch.setattr(files, "ask_path", lambda *_: target)
    widget.objects.save.click()
    settle_file(widget)
    saved = nib.load(target)
    assert np.allclose(saved.affine, widget.view.frame.volume.affine)
    assert np.array_equal(np.asarray(saved.dataobj), shown(widget))


def settle_file(widget: Any) -> None:
    widget.workspace.tasks.executor.submit(lambda: None).result()


def test_hiding_an_object_hides_its_colour_only(opened: tuple[Any, Any], click: Any) -> None:
    from qtpy.QtCore import Qt

    _, widget = opened
    click(BALL)
    widget.objects.list.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert widget.view.mask.layer.get_color(1)[3] == 0
    assert shown(widget)[BALL] == 1
    widget.objects.list.item(0).setCheckState(Qt.CheckState.Checked)
    assert widget.view.mask.layer.get_color(1)[3] == 1


def test_removing_an_object_takes_its_mask(opened: tuple[Any, Any], click: Any, settle) -> None:
    _, widget = opened
    click(BALL)
    widget.objects.remove.click()
    settle(widget)
    assert not shown(widget).any()
    assert widget.objects.list.count() == 0
    widget.prompts.undo.click()
    settle(widget)
    assert shown(widget)[BALL] == 1


def test_a_click_beside_the_scan_is_told_and_taken_back(
    opened: tuple[Any, Any], settle: Any
) -> None:
    _, widget = opened
    widget.view.points.layer.add((500.0, 2.0, 2.0))
    settle(widget)
    assert any("outside the volume" in message for message in messages())
    assert len(widget.view.points.layer.data) == 0
    assert widget.view.session.state.objects == ()


def test_a_model_that_fails_leaves_the_widget_usable(
    opened: tuple[Any, Any], click: Any, flood: Any, monkeypatch: Any
) -> None:
    _, widget = opened
    with monkeypatch.context() as patch:
        patch.setattr(type(flood), "segment", lambda *_: 1 / 0)
        click(BALL)
    assert any("division by zero" in message for message in messages())
    assert len(widget.view.points.layer.data) == 0
    click(BALL)
    assert shown(widget)[BALL] == 1


def test_a_model_that_can_not_be_loaded_is_told_once(
    make_widget: Callable[..., Any], volume: Volume, settle: Any, tmp_path: Path
) -> None:
    viewer, widget = make_widget(model=str(tmp_path / "none.safetensors"))
    settle(widget)
    assert len([message for message in messages() if "none.safetensors" in message]) == 1
    assert "none.safetensors" in widget.status.now.text()
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    widget.view.points.layer.add(widget.view.frame.to_layer(BALL)[0])
    settle(widget)
    assert len(widget.view.points.layer.data) == 0


def test_each_scan_keeps_its_session(opened: tuple[Any, Any], click: Any, settle: Any) -> None:
    viewer, widget = opened
    click(BALL)
    first = widget.view
    other = viewer.add_image(np.random.default_rng(0).random((10, 12, 14)), name="other")
    assert widget.view is first
    widget.scan.choose(other)
    qt_wait(widget)
    assert widget.view is not first
    assert not first.mask.layer.visible
    assert "does not tell how the patient lies" in widget.scan.facts.text()
    widget.scan.choose(viewer.layers["two balls"])
    qt_wait(widget)
    assert widget.view is first
    assert first.mask.layer.visible
    assert shown(widget)[BALL] == 1


def qt_wait(widget: Any) -> None:
    from pytestqt.qt_compat import qt_api

    settle_file(widget)
    for _ in range(10):
        qt_api.QtWidgets.QApplication.processEvents()


def test_an_image_that_leaves_ends_its_session_but_not_its_mask(
    opened: tuple[Any, Any], click: Any, qtbot: Any
) -> None:
    viewer, widget = opened
    click(BALL)
    viewer.layers.remove("two balls")
    qtbot.wait(50)
    assert widget.view is None
    assert [layer.name for layer in viewer.layers] == ["Segmentation"]
    assert viewer.layers[0].data.any()
    assert not widget.prompts.isEnabled()


def test_a_layer_of_the_session_comes_back_when_it_is_removed(
    opened: tuple[Any, Any], click: Any, qtbot: Any
) -> None:
    viewer, widget = opened
    click(BALL)
    viewer.layers.remove("Prompts")
    qtbot.wait(50)
    assert "Prompts" in viewer.layers
    click(OTHER)
    assert shown(widget)[OTHER] == 1


def test_the_user_s_image_is_never_changed(opened: tuple[Any, Any], click: Any) -> None:
    viewer, widget = opened
    layer = viewer.layers["two balls"]
    before = (layer.data.copy(), tuple(layer.scale), tuple(layer.translate), layer.name)
    click(BALL)
    widget.run("toggle_crop")
    after = (layer.data, tuple(layer.scale), tuple(layer.translate), layer.name)
    assert np.array_equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert {str(unit) for unit in viewer.layers.units} == {"millimeter"}


def test_the_crop_is_shown_on_request(opened: tuple[Any, Any], click: Any) -> None:
    viewer, widget = opened
    click(BALL)
    widget.run("toggle_crop")
    assert "Where the model looks" in viewer.layers
    assert widget.view.crop.layer.nshapes == 1
    widget.run("toggle_crop")
    assert "Where the model looks" not in viewer.layers


def test_another_model_repeats_every_prompt(
    opened: tuple[Any, Any], click: Any, settle: Any, flood: Any, monkeypatch: Any
) -> None:
    viewer, widget = opened
    click(BALL)
    widget.objects.next.click()
    settle(widget)
    click(OTHER)
    before = shown(widget).copy()
    monkeypatch.setattr(model_loader, "model_thread", lambda *_, **__: _thread_of(flood))
    widget.workspace.change_model("flood", "cpu")
    settle(widget)
    assert np.array_equal(shown(widget), before)
    assert [each.name for each in widget.view.session.state.objects] == ["object 1", "object 2"]
    assert [layer.name for layer in viewer.layers].count("Segmentation") == 1


def test_another_model_keeps_edits_and_locked_masks(
    opened: tuple[Any, Any], click: Any, settle: Any, flood: Any, monkeypatch: Any
) -> None:
    _, widget = opened
    click(BALL)
    corner = Mask.of_indices(np.argwhere(np.ones((2, 2, 2))))
    widget.view.run(lambda session: session.edit_mask(corner, None))
    settle(widget)
    widget.view.run(Commands.lock_object)
    widget.objects.next.click()
    settle(widget)
    click(OTHER)
    widget.view.run(lambda session: session.edit_mask(None, Mask.of_indices(np.array([OTHER]))))
    settle(widget)
    widget.view.go_to_object(widget.view.current.id)
    before = shown(widget).copy()
    monkeypatch.setattr(model_loader, "model_thread", lambda *_, **__: _thread_of(flood))
    widget.workspace.change_model("flood", "cpu")
    settle(widget)
    assert np.array_equal(shown(widget), before)
    first, second = widget.view.session.state.objects
    assert first.locked is not None
    assert [type(each).__name__ for each in second.prompts] == ["Point", "Edit"]


def _thread_of(model: Any) -> Any:
    from napari_fastsam3d.session import ModelThread

    return ModelThread(model)


def test_a_stale_result_writes_nothing(opened: tuple[Any, Any], settle: Any) -> None:
    _, widget = opened
    for index in (BALL, OTHER):
        widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])
    settle(widget)
    assert np.array_equal(shown(widget), widget.view.session.label_map())


def test_of_a_series_the_frame_in_view_is_segmented(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    viewer, widget = make_widget()
    series = np.zeros((2, *SHAPE), np.float32)
    series[0][ball(BALL)] = series[1][ball(OTHER)] = 300
    viewer.add_image(series, name="series")
    qt_wait(widget)
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(
        lambda: widget.view is not None and bool(widget.view.frame.volume.voxels[OTHER]),
        timeout=5000,
    )
    widget.view.points.layer.add(np.array(OTHER, float))
    settle(widget)
    assert shown(widget)[OTHER] == 1


def test_a_colour_image_is_refused_with_a_remedy(make_widget: Callable[..., Any], qtbot) -> None:
    viewer, widget = make_widget()
    viewer.add_image(np.zeros((4, 20, 20, 3), np.uint8), rgb=True, name="photo")
    qtbot.waitUntil(lambda: any("colour image" in message for message in messages()))
    assert widget.view is None


def test_opening_reads_in_another_thread(
    make_widget: Callable[..., Any], volume: Volume, qtbot: Any
) -> None:
    viewer, widget = make_widget()
    widget.workspace._read_scan(lambda: volume, widget.workspace.add_scan)
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=5000)
    assert widget.view.frame.volume is volume


def test_of_a_file_of_several_volumes_the_user_chooses_one(
    make_widget: Callable[..., Any], tmp_path: Path, monkeypatch: Any, qtbot: Any
) -> None:
    path = tmp_path / "series.nii.gz"
    series = np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3)
    nib.save(nib.Nifti1Image(series, np.eye(4)), path)
    asked: list[list[str]] = []

    def choose(_parent: Any, _title: str, _question: str, labels: list[str], *_: Any) -> Any:
        asked.append(labels)
        return labels[1], True

    monkeypatch.setattr(QInputDialog, "getItem", choose)
    _, widget = make_widget()
    widget.workspace.chooser.open(path)
    qtbot.waitUntil(lambda: widget.view is not None, timeout=5000)
    assert asked == [["volume 1 of 3", "volume 2 of 3", "volume 3 of 3"]]
    assert np.array_equal(widget.view.frame.volume.voxels, series[..., 1])


def test_a_file_that_can_not_be_read_is_told(make_widget: Callable[..., Any], qtbot: Any) -> None:
    _, widget = make_widget()

    def broken() -> Volume:
        raise CheckpointError("It is broken.", "Fix it.")

    widget.workspace._read_scan(broken, widget.workspace.add_scan)
    qtbot.waitUntil(lambda: "It is broken. Fix it." in messages(), timeout=5000)


def test_closing_the_window_ends_every_thread(
    opened: tuple[Any, Any], click: Any, qtbot: Any
) -> None:
    viewer, widget = opened
    click(BALL)
    session, thread = widget.view.session, widget.workspace.loader.thread
    viewer.close()
    qtbot.waitUntil(lambda: thread.closed, timeout=5000)
    with pytest.raises(Exception, match="closed"):
        session.add_point(BALL)


def test_neither_widget_nor_reader_import_torch() -> None:
    code = (
        "import sys, napari_fastsam3d._napari.widget;"
        "import napari_fastsam3d._napari.contributions.reader;"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == "False", ran.stderr


def test_nothing_heavy_runs_in_the_main_thread(
    opened: tuple[Any, Any], flood: Any, monkeypatch: Any, settle: Any
) -> None:
    import threading

    _, widget = opened
    places: list[str] = []
    done: Future[None] = Future()
    encode, segment = type(flood).encode, type(flood).segment

    def spied(method: Any) -> Any:
        def call(*args: Any) -> Any:
            places.append(threading.current_thread().name)
            return method(*args)

        return call

    monkeypatch.setattr(type(flood), "encode", spied(encode))
    monkeypatch.setattr(type(flood), "segment", spied(segment))
    widget.view.points.layer.add(widget.view.frame.to_layer(BALL)[0])
    settle(widget)
    assert places
    assert all(name.startswith("fastsam3d-model") for name in places)
    assert not done.done()


def test_images_of_others_are_offered_too(make_widget: Callable[..., Any]) -> None:
    viewer, widget = make_widget()
    viewer.add_image(np.zeros((8, 9, 10)), name="foreign")
    viewer.add_labels(np.zeros((8, 9, 10), np.uint8), name="labels")
    qt_wait(widget)
    assert [each.name for each in widget.workspace.images()] == ["foreign"]
    assert isinstance(widget.scan.layer, Image)
