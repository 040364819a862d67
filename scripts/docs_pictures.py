"""Take the documentation's pictures of the real window: docs_pictures.py SCAN LABELS.

SCAN is a torso CT and LABELS its structures, spleen 1, right kidney 2 and liver 5
(TotalSegmentator's example). Needs a display, or xvfb-run.
"""

import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from qtpy.QtTest import QTest

import napari
from napari_fastsam3d._napari.dialogs.measures import MeasuresDialog
from napari_fastsam3d.geometry.drawing import voxels_along
from napari_fastsam3d.geometry.mask import deepest_voxel
from napari_fastsam3d.session.commands import Commands

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
SPLEEN, RIGHT_KIDNEY, LIVER = 1, 2, 5
SIZE = (1360, 860)
REPORT_SIZE = (1754, 860)
"""Pixels: how much of the page is shown."""


def settle(widget: Any) -> None:
    """Wait until the widget shows all that was asked of it."""
    QTest.qWait(100)
    while widget.busy:
        QTest.qWait(50)
    QTest.qWait(300)


def take(viewer: napari.Viewer, name: str) -> None:
    """Write a picture of the window."""
    viewer.screenshot(PICTURES / f"{name}.png", canvas_only=False, flash=False)


def click(viewer: napari.Viewer, widget: Any, place: tuple[int, ...], positive: bool) -> None:
    """Turn to the slice of a source index and click there."""
    layer = widget.view.frame.to_layer(place)[0]
    viewer.dims.set_current_step(0, round(float(layer[0])))
    widget.view.run(lambda session: session.add_point(place, positive=positive))
    settle(widget)


def show_both(viewer: napari.Viewer, labels: np.ndarray) -> None:
    """Turn to the slice in which the smaller of two objects is largest."""
    areas = [(labels == value).sum(axis=(1, 2)) for value in (1, 2)]
    viewer.dims.set_current_step(0, int(np.minimum(*areas).argmax()))


def take_scribble(viewer: napari.Viewer, widget: Any, spleen: np.ndarray) -> None:
    """Draw a line through the spleen in a coronal slice, and write its picture."""
    j = int(spleen.sum(axis=(0, 2)).argmax())
    heights = np.flatnonzero(spleen[:, j].any(axis=0))[2:-2:3]
    path = [(np.flatnonzero(spleen[:, j, k]).mean().round(), j, k) for k in heights]
    widget.run("next_plane")
    axis = widget.view.navigation.plane().axis
    shown = widget.view.frame.to_layer(path[0])[0]
    viewer.dims.set_current_step(axis, round(float(shown[axis])))
    widget.run("scribble")
    widget.view.run(lambda session: session.add_scribble(voxels_along(path)))
    settle(widget)
    take(viewer, "scribble")


def take_measures(widget: Any) -> None:
    """Write pictures of the table of measures and of a report."""
    widget.run("measures")
    settle(widget)
    dialog = widget.findChild(MeasuresDialog)
    dialog.grab().save(str(PICTURES / "measures.png"))
    dialog.close()
    page = PICTURES / "report.png"
    widget.view.session.save_report(page, tuple(widget.view.image.contrast_limits))
    with Image.open(page) as whole:
        top = whole.convert("RGB").crop((0, 0, *REPORT_SIZE)).reduce(2)
    top.quantize(128).save(page, optimize=True)


def take_models(widget: Any) -> None:
    """Open the dialog of the models, choose one that can be fetched, and write its picture."""
    widget.model.manage_button.click()
    dialog = widget.model.dialog
    settle(widget)
    dialog.list.setCurrentItem(dialog.list.topLevelItem(1))
    settle(widget)
    dialog.grab().save(str(PICTURES / "models.png"))
    dialog.close()


def main(scan: str, labels: str) -> None:
    """Open the scan, click the liver, exclude a leak, box a kidney: a picture after each."""
    truth = np.asarray(nib.load(labels).dataobj)
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open(scan, plugin="napari-fastsam3d")
    widget: Any = viewer.window.add_plugin_dock_widget("napari-fastsam3d")[1]
    settle(widget)
    liver = truth == LIVER
    viewer.dims.set_current_step(
        0, round(float(widget.view.frame.to_layer(deepest_voxel(liver))[0][0]))
    )
    settle(widget)
    viewer.reset_view()
    take(viewer, "opened")
    click(viewer, widget, deepest_voxel(liver), True)
    take(viewer, "first-click")
    click(viewer, widget, deepest_voxel(widget.view.session.mask() & ~liver), False)
    take(viewer, "negative-click")
    widget.view.run(Commands.undo)
    settle(widget)
    click(viewer, widget, deepest_voxel(liver & ~widget.view.session.mask()), True)
    widget.view.run(
        lambda session: session.rename_object(widget.view.session.state.current, "liver")
    )
    widget.view.run(lambda session: session.new_object("right kidney"))
    places = np.argwhere(truth == RIGHT_KIDNEY)
    low, high = places.min(axis=0) - 1, places.max(axis=0) + 2
    widget.view.run(
        lambda session: session.add_box(tuple(int(i) for i in low), tuple(int(i) for i in high))
    )
    centre = tuple(int(i) for i in (low + high) // 2)
    viewer.dims.set_current_step(0, round(float(widget.view.frame.to_layer(centre)[0][0])))
    settle(widget)
    take(viewer, "box")
    show_both(viewer, np.asarray(widget.view.mask.layer.data))
    settle(widget)
    take(viewer, "window")
    widget.run("next_object")
    take_scribble(viewer, widget, truth == SPLEEN)
    widget.run("four_views")
    widget.view.navigation.go_to_prompt(widget.view.prompts[0])
    settle(widget)
    take(viewer, "four-views")
    widget.run("four_views")
    settle(widget)
    widget.run("axial")
    settle(widget)
    show_both(viewer, np.asarray(widget.view.mask.layer.data))
    widget.run("outlines")
    settle(widget)
    take(viewer, "views")
    widget.run("outlines")
    take_measures(widget)
    take_models(widget)
    viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
