"""Take the documentation's pictures of the real window: docs_pictures.py SCAN LABELS.

SCAN is a torso CT and LABELS its structures, spleen 1, kidneys 2 and 3, liver 5
(TotalSegmentator's example). Needs a display, or xvfb-run.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from qtpy.QtTest import QTest
from scipy import ndimage
from skimage.measure import find_contours

import napari
from napari_fastsam3d._napari.dialogs.measures import MeasuresDialog
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.drawing import voxels_along
from napari_fastsam3d.geometry.mask import deepest_voxel
from napari_fastsam3d.session.commands import Commands

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, LIVER = 1, 2, 3, 5
UPTAKE = {LIVER: 4.0, SPLEEN: 3.0, RIGHT_KIDNEY: 9.0, LEFT_KIDNEY: 9.0}
"""Of the second scan, a PET made of the structures."""
SIZE = (1360, 860)
NEAR = 3.5
REPORT_SIZE = (1754, 860)
"""Pixels: how much of the page is shown."""


def settle(widget: Any) -> None:
    """Wait until the widget shows all that was asked of it."""
    QTest.qWait(100)
    while widget.busy:
        QTest.qWait(50)
    QTest.qWait(300)


def until(there: Callable[[], object]) -> None:
    """Wait for something that shows that work beside the window is done."""
    while not there():
        QTest.qWait(50)


def widget_of(viewer: napari.Viewer) -> Any:
    """Return the panel docked in a window."""
    return next(each for each in viewer.window.dock_widgets.values() if hasattr(each, "status"))


def take(viewer: napari.Viewer, name: str) -> None:
    """Write a picture of the window, but for times: it is drawn by software."""
    facts = widget_of(viewer).status.facts
    facts.setText(re.sub(r" · \d+ ms", "", facts.text()))
    viewer.screenshot(PICTURES / f"{name}.png", canvas_only=False, flash=False)


def click(viewer: napari.Viewer, widget: Any, place: tuple[int, ...], positive: bool) -> None:
    """Turn to the slice of a source index and click there."""
    turn(viewer, widget, place)
    widget.run("include" if positive else "exclude")
    widget.view.run(lambda session: session.add_point(place, positive=positive))
    settle(widget)


def turn(viewer: napari.Viewer, widget: Any, place: tuple[int, ...]) -> None:
    """Turn to the slice of a source index, in the plane that is shown."""
    axis = widget.view.navigation.plane().axis
    shown = widget.view.frame.to_layer(place)[0]
    viewer.dims.set_current_step(axis, round(float(shown[axis])))


def name_object(widget: Any, name: str) -> None:
    """Name the current object."""
    current = widget.view.session.state.current
    widget.view.run(lambda session: session.rename_object(current, name))
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
    turn(viewer, widget, path[0])
    widget.run("scribble")
    widget.view.run(lambda session: session.add_scribble(voxels_along(path)))
    settle(widget)
    take(viewer, "scribble")


def take_lasso(viewer: napari.Viewer, widget: Any, organ: np.ndarray) -> None:
    """Circle in an axial slice what the first object has too much of, and write its picture."""
    widget.view.run(lambda session: session.select_object(1))
    parts, _ = ndimage.label(widget.view.session.mask(1) & ~organ)
    k, circled = max(
        ((k, largest_part(parts[..., k] > 0)) for k in range(organ.shape[2])),
        key=lambda found: ndimage.binary_erosion(found[1], iterations=2).sum(),
    )
    rough = ndimage.binary_dilation(circled, iterations=2) & ~organ[..., k]
    outline = max(find_contours(np.pad(rough, 1).astype(float), 0.5), key=len) - 1
    widget.run("axial")
    turn(viewer, widget, (0, 0, k))
    widget.run("lasso")
    widget.view.run(lambda session: session.add_lasso((2, k), outline, positive=False))
    settle(widget)
    take(viewer, "lasso")


def largest_part(inside: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a slice."""
    parts, _ = ndimage.label(inside)
    return parts == np.bincount(parts.ravel())[1:].argmax() + 1 if parts.any() else inside


def take_clean_up(viewer: napari.Viewer, widget: Any, chosen: int) -> None:
    """Write a picture of an object before and after it was smoothed, from near by."""
    widget.view.run(lambda session: session.select_object(chosen))
    widget.view.go_to_object(chosen)
    widget.run("pan")
    settle(widget)
    middle = np.argwhere(widget.view.session.mask(chosen)).mean(axis=0)
    layer = widget.view.mask.layer
    viewer.scene.camera.center = layer.data_to_world(widget.view.frame.to_layer(middle)[0])
    viewer.scene.camera.zoom *= NEAR
    settle(widget)
    before = viewer.screenshot(canvas_only=True, flash=False)
    widget.view.run(lambda session: session.clean_up("smooth", 4.0))
    settle(widget)
    after = viewer.screenshot(canvas_only=True, flash=False)
    high, wide = before.shape[:2]
    cut = np.s_[high // 5 : -high // 5, wide // 10 : -wide // 10, :3]
    edge = np.full((before[cut].shape[0], 8, 3), 255, np.uint8)
    both = np.hstack([before[cut], edge, after[cut]])
    Image.fromarray(both).save(PICTURES / "clean-up.png", optimize=True)
    widget.view.run(Commands.undo)
    viewer.reset_view()
    settle(widget)


def take_second_scan(viewer: napari.Viewer, widget: Any, truth: np.ndarray) -> None:
    """Lay a PET over the scan, and write its picture."""
    view = widget.view
    uptake = sum(value * (truth == label) for label, value in UPTAKE.items())
    noise = np.random.default_rng(0).normal(0, 0.3, truth.shape)
    voxels = ndimage.gaussian_filter(uptake + 0.4 + noise, 1.5)[::2, ::2, ::2]
    affine = view.frame.volume.affine @ np.diag([2, 2, 2, 1])
    pet = Volume.from_array(voxels.astype(np.float32), affine, name="PET")
    widget.workspace.overlay.lay(view, lambda: pet)
    until(lambda: view.overlay is not None)
    widget.run("coronal")
    turn(viewer, widget, deepest_voxel(truth == RIGHT_KIDNEY))
    view.mask.layer.visible = False
    settle(widget)
    take(viewer, "second-scan")
    view.mask.layer.visible = True


def take_measures(widget: Any) -> None:
    """Write pictures of the table of measures and of a report."""
    widget.run("measures")
    dialog = widget.findChild(MeasuresDialog)
    until(lambda: dialog.rows)
    settle(widget)
    dialog.resize(dialog.width(), dialog.sizeHint().height())
    settle(widget)
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


def take_tools(viewer: napari.Viewer, widget: Any, truth: np.ndarray) -> None:
    """Click the liver, box a kidney, draw the spleen, exclude a leak, circle the other kidney."""
    liver = truth == LIVER
    viewer.dims.set_current_step(
        0, round(float(widget.view.frame.to_layer(deepest_voxel(liver))[0][0]))
    )
    settle(widget)
    viewer.reset_view()
    take(viewer, "opened")
    click(viewer, widget, deepest_voxel(liver), True)
    take(viewer, "first-click")
    click(viewer, widget, deepest_voxel(liver & ~widget.view.session.mask()), True)
    name_object(widget, "liver")
    widget.view.run(lambda session: session.new_object("right kidney"))
    places = np.argwhere(truth == RIGHT_KIDNEY)
    low, high = places.min(axis=0) - 1, places.max(axis=0) + 2
    widget.view.run(
        lambda session: session.add_box(tuple(int(i) for i in low), tuple(int(i) for i in high))
    )
    turn(viewer, widget, tuple(int(i) for i in (low + high) // 2))
    settle(widget)
    take(viewer, "box")
    show_both(viewer, np.asarray(widget.view.mask.layer.data))
    settle(widget)
    take(viewer, "window")
    widget.run("next_object")
    spleen = truth == SPLEEN
    take_scribble(viewer, widget, spleen)
    name_object(widget, "spleen")
    leak = deepest_voxel(widget.view.session.mask() & ~spleen)
    click(viewer, widget, leak, False)
    take(viewer, "negative-click")
    take_lasso(viewer, widget, truth == LIVER)


def take_views(viewer: napari.Viewer, widget: Any, truth: np.ndarray) -> None:
    """Write pictures of what was found, in every way in which it is looked at."""
    widget.run("pan")
    widget.run("coronal")
    widget.run("four_views")
    widget.view.navigation.go_to_prompt(widget.view.prompts[0])
    settle(widget)
    take(viewer, "four-views")
    widget.run("four_views")
    widget.run("face_patient")
    until(lambda: "Surfaces" in viewer.layers)
    settle(widget)
    take(viewer, "surfaces")
    widget.run("axial")
    settle(widget)
    show_both(viewer, np.asarray(widget.view.mask.layer.data))
    widget.run("outlines")
    settle(widget)
    take(viewer, "views")
    widget.run("outlines")
    take_clean_up(viewer, widget, 2)
    take_measures(widget)
    widget.view.run(lambda session: session.select_object(2))
    widget.run("draw_diameters")
    until(lambda: widget.view.rulers.layer.nshapes)
    settle(widget)
    take(viewer, "diameters")
    take_second_scan(viewer, widget, truth)


def main(scan: str, labels: str) -> None:
    """Open the scan, and take every picture."""
    truth = np.asarray(nib.load(labels).dataobj)
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open(scan, plugin="napari-fastsam3d")
    widget: Any = viewer.window.add_plugin_dock_widget("napari-fastsam3d")[1]
    settle(widget)
    take_tools(viewer, widget, truth)
    take_views(viewer, widget, truth)
    take_models(widget)
    viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
