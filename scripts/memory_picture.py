"""Take the documentation's picture of the memory: memory_picture.py IMAGES LABELS SCAN LABEL.

IMAGES and LABELS are folders of which the first cases of one structure, label 1 and 2 together, are
remembered as "hippocampus"; SCAN is another scan and LABEL its label file, in the middle of which
is clicked. The memory lies in a folder that is removed again. Needs a display, or xvfb-run.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from docs_pictures import click, settle, take
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea

import napari
from napari_fastsam3d import MemoryBank, Session, read_volume
from napari_fastsam3d.geometry.mask import Mask, deepest_voxel
from napari_fastsam3d.session.commands import Commands

COUNT = 8
STRUCTURE = "hippocampus"
SIZE = (1360, 980)


def remember(images: Path, labels: Path) -> None:
    """Remember the structure of the first cases of a folder."""
    with MemoryBank() as bank:
        for image in sorted(images.glob("*_img.nii.gz"))[:COUNT]:
            label = labels / image.name.replace("_img", "_seg")
            truth = np.asarray(nib.load(label).dataobj) > 0
            with Session(read_volume(image), memory=bank) as session:
                session.add_mask(Mask.of_volume(truth), STRUCTURE)
                session.remember()


def main(images: str, labels: str, scan: str, label: str) -> None:
    """Remember some cases, open the scan, name an object, click, and unfold the memory."""
    remember(Path(images), Path(labels))
    truth = np.asarray(nib.load(label).dataobj) > 0
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open(scan, plugin="napari-fastsam3d")
    widget: Any = viewer.window.add_plugin_dock_widget("napari-fastsam3d")[1]
    settle(widget)
    widget.view.run(lambda session: session.new_object(STRUCTURE))
    settle(widget)
    viewer.reset_view()
    click(viewer, widget, deepest_voxel(truth), True)
    # Once more, as where the pointer came before: the crop is encoded.
    widget.view.run(Commands.undo)
    click(viewer, widget, deepest_voxel(truth), True)
    memory = widget.sections["memory"]
    QTest.mouseClick(memory.heading, Qt.MouseButton.LeftButton)
    settle(widget)
    bar = widget.findChild(QScrollArea).verticalScrollBar()
    bar.setValue(bar.maximum())
    settle(widget)
    take(viewer, "memory-panel")
    viewer.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home
        main(*sys.argv[1:])
