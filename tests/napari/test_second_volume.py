"""Time points, a second scan over the first, and surfaces in 3D, in a real window by key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Layer, Surface
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QInputDialog

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Volume, read_volume
from napari_fastsam3d.session import MaskPrompt

WAIT = 120_000
INSIDE = (10, 12, 9)
AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


def two_times(folder: Path) -> Path:
    """A bright block in water that moves by a voxel."""
    voxels = np.zeros((24, 28, 20, 2), np.int16)
    for time in (0, 1):
        voxels[6 + time : 14 + time, 8:18, 6:14, time] = 1000
    nib.save(nib.Nifti1Image(voxels, AFFINE), folder / "beating.nii.gz")
    return folder / "beating.nii.gz"


def second_scan() -> Volume:
    """Brighter towards the head, on a finer grid that is stored otherwise and covers a part."""
    voxels = np.tile(np.arange(60, dtype=np.int16), (30, 40, 1))
    affine = np.array([[0, -1.0, 0, 0], [-1.0, 0, 0, -6], [0, 0, 1.0, 0], [0, 0, 0, 1]])
    return Volume.from_array(voxels, affine, name="pet")


def surfaces(viewer: Any) -> list[Surface]:
    return [layer for layer in viewer.layers if isinstance(layer, Surface)]


@pytest.mark.gl
def test_volumes_beside_the_first(
    open_window: Callable[..., Any], settle: Any, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path = two_times(tmp_path)
    viewer, widget, hand = open_window(read_volume(path, frame=0), size=(1000, 640))
    first, said = widget.view, []
    widget.workspace.message.connect(said.append)
    first.run(lambda session: session.add_point(INSIDE))
    settle(widget)

    # The object is in the next volume, where the block is now; and there is no further one.
    hand.key("Alt+.")
    qtbot.waitUntil(lambda: any("carried on" in each for each in said), timeout=WAIT)
    settle(widget)
    assert widget.view is not first
    assert widget.view.frame.volume.source.frame == 1
    assert isinstance(widget.view.prompts[0], MaskPrompt)
    assert widget.view.session.mask()[INSIDE]
    hand.key("Alt+.")
    qtbot.waitUntil(lambda: "There is no volume after this one." in said, timeout=WAIT)
    hand.key("Alt+,")
    qtbot.waitUntil(lambda: widget.view is first, timeout=WAIT)
    assert len(first.session.state.objects) == 1

    # Another scan lies over this one, where it lies in the patient, and is not what is clicked.
    viewer.add_layer(Layer.create(*image_layer_data(second_scan())))
    qtbot.waitUntil(
        lambda: widget.view is not None and widget.view.image.name == "pet", timeout=WAIT
    )
    widget.scan.choose(first.image)
    settle(widget)
    names = [each.image.name for each in widget.workspace.views.all]
    answer = f"{names.index('pet')}. pet"
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: (answer, True))
    tools: list[Any] = []
    widget.workspace.toolbox.changed.connect(lambda: tools.append(widget.workspace.toolbox.tool))
    hand.key("Alt+A")
    qtbot.waitUntil(lambda: first.overlay is not None, timeout=WAIT)
    settle(widget)
    over = first.overlay
    assert isinstance(over, Image)
    laid = first.frame.source_view(np.asarray(over.data))
    assert laid.shape == first.frame.volume.shape
    assert [laid[8, 8, k] for k in (0, 5, 10)] == [0, 15, 30]  # 3 mm a slice
    assert viewer.layers.index(over) == viewer.layers.index(first.image) + 1
    assert (over.visible, over.opacity) == (True, 0.7)
    before = np.ptp(over.contrast_limits)
    hand.key("/")
    assert (over.visible, over.opacity) == (True, 1)
    qtbot.wait(50)
    assert widget.view is first
    assert widget.workspace.visibility.now.clear
    place = first.mask.layer.data_to_world(first.frame.to_layer((8, 8, 5))[0])
    viewer.dims.set_point((0, 1, 2), place)
    hand.rest(place)
    assert "second scan 15" in widget.readout.text()
    # The right button windows the scan that is looked at.
    middle, limits = hand.place(place), list(first.image.contrast_limits)
    hand.drag_right(middle, middle + QPoint(64, 0))
    assert np.ptp(over.contrast_limits) > before
    assert list(first.image.contrast_limits) == limits
    hand.key("/")
    assert not over.visible
    assert float(widget.window_row.breadth.text()) == np.ptp(limits)
    hand.key("Shift+M")
    hand.key("Ctrl+5")
    settle(widget)
    pane = widget.workspace.four_views.panes[0]
    assert over.name in [layer.name for layer in pane.viewer.layers]
    hand.key("Ctrl+5")
    # No layer that came took the tool from the hand.
    assert tools == []

    # In 3D masks are surfaces, which follow what is shown.
    hand.key("Ctrl+4")
    qtbot.waitUntil(lambda: len(surfaces(viewer)) == 1, timeout=WAIT)
    (surface,) = surfaces(viewer)
    box = first.session.region().box
    ends = [np.subtract(box.start, 0.5), np.subtract(box.stop, 0.5)]
    middle = surface.data_to_world((surface.data[0].min(axis=0) + surface.data[0].max(axis=0)) / 2)
    expected = first.mask.layer.data_to_world(first.frame.to_layer(np.mean(ends, axis=0))[0])
    assert np.allclose(middle, expected, atol=0.5)
    assert first.mask.layer.visible
    hand.key("H")
    qtbot.waitUntil(lambda: not surfaces(viewer), timeout=WAIT)
    hand.key("H")
    qtbot.waitUntil(lambda: len(surfaces(viewer)) == 1, timeout=WAIT)
    hand.key("Ctrl+1")
    qtbot.waitUntil(lambda: not surfaces(viewer), timeout=WAIT)
    assert first.mask.layer.depiction == "volume"
