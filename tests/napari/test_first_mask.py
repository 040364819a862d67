"""The whole way of a click, from the mouse to the file, on a real scan in a real window."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from canvas import Hand
from scipy import ndimage

from napari_fastsam3d._napari import widget as widget_module
from napari_fastsam3d._napari.commands import files
from napari_fastsam3d.errors import CheckpointError

LIVER, RIGHT_KIDNEY = 5, 2
# The least Dice of one click in the liver, of a box on the right kidney, and of that on what the
# liver's mask leaves of it, by model. The default model reaches 0.76, 0.62 and 0.74: the liver's
# mask keeps a quarter of the kidney. The other one only exercises the window.
LEAST_DICE = {"default": (0.7, 0.55, 0.7), "flood": (0.3, 0.0, 0.0)}

pytestmark = pytest.mark.gl


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(1, int(a.sum() + b.sum()))


def deepest(mask: np.ndarray) -> tuple[int, ...]:
    """The voxel of a mask (any order) that lies farthest from its border."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    return tuple(int(i) for i in np.unravel_index(depth.argmax(), mask.shape))


class Scene:
    """The demonstration scan in a viewer with the widget, and its labels in layer order."""

    def __init__(self, viewer: Any, widget: Any, labels: np.ndarray, folder: Path) -> None:
        self.viewer, self.widget, self.folder = viewer, widget, folder
        self.hand = Hand(viewer)
        self.view = widget.view
        self.labels = self.view.frame.view(labels)

    @property
    def shown(self) -> np.ndarray:
        """The label map that is shown, in layer order."""
        return np.asarray(self.view.mask.layer.data)

    def world(self, place: tuple) -> tuple[float, ...]:
        """World point of a layer index."""
        return tuple(self.view.mask.layer.data_to_world(place))

    def turn_to(self, place: tuple) -> None:
        """Show the slice of a layer index."""
        self.viewer.dims.set_current_step(0, int(place[0]))

    def picture(self, name: str) -> None:
        """Keep a picture of the whole window."""
        self.viewer.window._qt_window.grab().save(str(self.folder / f"{name}.png"))


@pytest.fixture(params=["default", "flood"])
def scene(
    request: pytest.FixtureRequest,
    make_napari_viewer: Callable[..., Any],
    flood: Any,
    shared: Path,
    tmp_path: Path,
    settle: Any,
    activate: Any,
    qtbot: Any,
) -> Scene:
    folder = shared / "data" / "labelled" / "totalseg_ct"
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1500, 950)
    viewer.open(folder / "example_ct_3mm_img.nii.gz", plugin="napari-fastsam3d")
    if request.param == "flood":
        flood.tolerance = 25.0
        widget = widget_module.FastSAM3DWidget(viewer, model=flood)
        viewer.window.add_dock_widget(widget, name="FastSAM3D", area="right")
    else:
        _, widget = viewer.window.add_plugin_dock_widget("napari-fastsam3d")
    qtbot.waitUntil(lambda: widget.view is not None)
    settle(widget)
    activate(viewer)
    viewer.reset_view()
    if isinstance(widget.workspace.loader.trouble, CheckpointError):
        pytest.skip("the default model is not in this installation")
    labels = np.asarray(nib.load(folder / "example_ct_3mm_seg.nii.gz").dataobj)
    return Scene(viewer, widget, labels, tmp_path)


def test_first_mask(scene: Scene, settle: Any, tmp_path: Path, monkeypatch: Any) -> None:
    widget, hand = scene.widget, scene.hand
    liver = scene.labels == LIVER
    inside = deepest(liver)
    scene.turn_to(inside)
    assert widget.workspace.toolbox.tool == "include"
    hand.click(scene.world(inside))
    settle(widget)
    scene.picture("1 positive click")
    (prompt,) = widget.view.current.prompts
    assert np.allclose(widget.view.frame.to_layer(prompt.index)[0], inside, atol=1)
    first = scene.shown == 1
    assert first[inside]
    model = widget.workspace.loader.thread.predictor.name
    least_liver, least_kidney, least_rest = LEAST_DICE[model]
    assert dice(first, liver) >= least_liver

    wrong = first & ~liver
    leak = deepest(wrong) if wrong.any() else tuple(np.argwhere(first)[0])
    scene.turn_to(leak)
    hand.key("W")
    hand.click(scene.world(leak))
    settle(widget)
    scene.picture("2 negative click")
    second = scene.shown == 1
    assert not second[leak]
    assert second[inside]

    hand.key("Ctrl+Z")
    settle(widget)
    assert np.array_equal(scene.shown == 1, first)
    hand.key("Shift+U")
    settle(widget)
    assert np.array_equal(scene.shown == 1, second)
    scene.picture("3 redone")

    kidney = scene.labels == RIGHT_KIDNEY
    hand.key("N")
    settle(widget)
    hand.key("G")
    draw_box(scene, kidney)
    settle(widget)
    scene.picture("4 box")
    assert len(widget.view.session.state.objects) == 2
    third = scene.shown == 2
    assert third.any()
    assert dice(third, kidney) >= least_kidney
    assert dice(third, kidney & ~second) >= least_rest
    assert np.array_equal(scene.shown == 1, second & ~(third & ~second))

    target = tmp_path / "mask.nii.gz"
    monkeypatch.setattr(files, "ask_path", lambda *_: target)
    hand.key("Shift+S")
    widget.workspace.tasks.executor.submit(lambda: None).result()
    saved, scan = nib.load(target), nib.load(widget.view.frame.volume.source.path)
    assert np.array_equal(saved.affine, scan.affine)
    assert np.array_equal(widget.view.frame.view(np.asarray(saved.dataobj)), scene.shown)
    print(
        f"{widget.workspace.loader.thread.predictor.name}: liver {dice(first, liver):.2f},"
        f" after a negative click {dice(second, liver):.2f}, kidney {dice(third, kidney):.2f}"
    )


def draw_box(scene: Scene, structure: np.ndarray) -> None:
    """Drag a rectangle round a structure (layer order) in its middle slice."""
    places = np.argwhere(structure)
    low, high = places.min(axis=0) - 1.4, places.max(axis=0) + 1.4
    middle = round(float(places[:, 0].mean()))
    scene.turn_to((middle,))
    scene.widget.prompts.box_depth.setValue(float(high[0] - low[0]) * scene.view.frame.spacing[0])
    scene.hand.drag(scene.world((middle, low[1], low[2])), scene.world((middle, high[1], high[2])))
