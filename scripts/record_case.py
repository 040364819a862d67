"""Record the whole case of a new user as pictures and a GIF: record_case.py OUT.

A phantom is written as a DICOM series, opened in the real window and worked on by mouse and key
events alone: grey window, coronal plane, liver and aorta by clicks, a kidney by a box, the other by
a scribble, names, measures, clean-up, four views, surfaces, three files saved and read back, quit
and resumed. OUT gets a picture of each step and ``case.gif``. Needs a display, or xvfb-run.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image, ImageDraw
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QLineEdit

import napari
from napari_fastsam3d.evaluation import next_click
from napari_fastsam3d.geometry import read_labels, read_volume, torso_phantom
from napari_fastsam3d.geometry.io.segments import read_segments
from napari_fastsam3d.geometry.mask import deepest_voxel

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "napari")]
from canvas import Hand  # noqa: E402

from dicom_writer import save, slices  # noqa: E402

SIZE = (1280, 800)
WIDE = 800
GREYS, MARKS = 130, 120
"""Colours of the palette."""
SHOWN_MS = 1600
SPACING = (2.0, 2.0, 3.0)
LIVER, RIGHT_KIDNEY, LEFT_KIDNEY, AORTA = 1, 3, 4, 6
PATIENT = {
    "PatientName": "Phantom^Torso",
    "PatientID": "phantom",
    "PatientBirthDate": "",
    "PatientSex": "",
    "StudyDate": "20260101",
    "StudyTime": "120000",
    "AccessionNumber": "",
    "StudyID": "1",
    "ReferringPhysicianName": "",
    "SeriesDescription": "Torso",
    "RescaleSlope": 1,
    "RescaleIntercept": 0,
}


def write_series(folder: Path) -> np.ndarray:
    """Write the phantom as DICOM slices; give its labels in the order of the voxels then read."""
    volume, labels, _ = torso_phantom(spacing=SPACING)
    pixels = np.ascontiguousarray(volume.voxels.astype(np.int16)[::-1, ::-1].transpose(2, 1, 0))
    heights = np.arange(len(pixels)) * SPACING[2]
    made = slices(pixels, heights, spacing=SPACING[:2], SliceThickness=SPACING[2], **PATIENT)
    for number, each in enumerate(made, 1):
        each.InstanceNumber = number
    save(folder, made, suffix=".dcm")
    return labels[::-1, ::-1]


def wait(milliseconds: int) -> None:
    """Let the window live for a while; QTest's own wait never sleeps and slows the model."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def framed(picture: Image.Image, caption: str) -> Image.Image:
    """Make a picture smaller, and write a caption below it."""
    small = picture.resize((WIDE, round(picture.height * WIDE / picture.width)), Image.LANCZOS)
    whole = Image.new("RGB", (WIDE, small.height + 26), "#20242b")
    whole.paste(small, (0, 0))
    ImageDraw.Draw(whole).text((10, small.height + 5), caption, "#ffd24a", font_size=15)
    return whole


def write_gif(frames: list[Image.Image], path: Path) -> None:
    """Write pictures as one that moves."""
    # One palette for all, so that nothing flickers that doesn't change. The most frequent colours
    # are greys, so what is marked gets its own by how far apart colours are.
    sheet = Image.new("RGB", (WIDE, sum(each.height for each in frames)))
    below = 0
    for each in frames:
        sheet.paste(each, (0, below))
        below += each.height
    greys = sheet.quantize(GREYS, method=Image.Quantize.MEDIANCUT).getpalette()
    marks = sheet.quantize(MARKS, method=Image.Quantize.MAXCOVERAGE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*greys[: 3 * GREYS], *marks[: 3 * MARKS]])
    first, *rest = (each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames)
    first.save(path, save_all=True, append_images=rest, duration=SHOWN_MS, loop=0, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


class Recorder:
    """One window, a hand on its mouse and keys, and the pictures of it.

    Parameters
    ----------
    out : Path
        Where the pictures go.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.frames: list[Image.Image] = []
        self.open_window()

    def open_window(self) -> None:
        """Open napari with the widget."""
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.resize(*SIZE)
        self.widget: Any = self.viewer.window.add_plugin_dock_widget("napari-fastsam3d")[1]
        self.window.activateWindow()
        self.hand = Hand(self.viewer)
        self.settle()

    def open_scan(self, folder: Path) -> None:
        """Open a DICOM folder, as after choosing it in the dialog."""
        self.widget.workspace.chooser.open(folder)
        self.until(lambda: self.widget.view is not None)
        self.settle()

    def settle(self) -> None:
        """Wait until the window shows all that was asked of it."""
        wait(50)
        self.until(lambda: not self.widget.busy)
        wait(100)

    def until(self, there: Callable[[], object]) -> None:
        """Wait for something, for ten minutes at most."""
        for _ in range(12_000):
            if there():
                return
            wait(50)
        raise TimeoutError(there)

    def take(self, caption: str, dialog: QDialog | None = None) -> None:
        """Take a picture of the window, with a dialog over it and a caption below."""
        # Notifications tell paths of this machine.
        for shown in self.window.findChildren(NapariQtNotification):
            shown.close()
        wait(50)
        # How long a click takes says nothing where the window is drawn by software.
        facts = self.widget.status.facts
        facts.setText(re.sub(r" · \d+ ms", "", facts.text()))
        picture = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3])
        if dialog is not None:
            over = (
                dialog.grab()
                .toImage()
                .convertToFormat(dialog.grab().toImage().Format.Format_RGB888)
            )
            raw = np.frombuffer(over.constBits(), np.uint8).reshape(over.height(), -1)
            shown = Image.fromarray(raw[:, : over.width() * 3].reshape(over.height(), -1, 3))
            shown.thumbnail((int(picture.width * 0.92), picture.height))
            left, top = (picture.width - shown.width) // 2, (picture.height - shown.height) // 2
            picture.paste(shown, (left, top))
        number = len(self.frames) + 1
        picture.save(self.out / f"{number:02d}.png")
        self.frames.append(framed(picture, f"{number}. {caption}"))
        print(number, caption, flush=True)

    def world(self, index: Any) -> Any:
        """Where a source index is in the world."""
        view = self.widget.view
        return view.mask.layer.data_to_world(view.frame.to_layer(index)[0])

    def go(self, index: Any) -> None:
        """Turn to the slices through a voxel."""
        self.viewer.dims.set_point((0, 1, 2), self.world(index))
        wait(200)

    def key(self, keys: str) -> None:
        """Press keys over the picture."""
        self.window.activateWindow()
        wait(50)
        self.hand.key(keys)
        self.settle()

    def click(self, index: Any) -> None:
        """Click on a voxel."""
        self.go(index)
        self.hand.click(self.world(index))
        self.settle()

    def name(self, name: str) -> None:
        """Name the current object in the dialog for that."""
        with self.answering(lambda dialog: self._type(dialog, name)):
            self.key("Shift+N")
        view = self.widget.view
        self.until(lambda: view.current is not None and view.current.name == name)

    @contextmanager
    def answering(self, answer: Callable[[QDialog], object]) -> Iterator[None]:
        """Answer the dialog that opens meanwhile."""

        def look() -> None:
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, QDialog):
                answer(dialog)
            else:
                QTimer.singleShot(100, look)

        QTimer.singleShot(100, look)
        yield

    def _type(self, dialog: QDialog, name: str) -> None:
        field = dialog.findChild(QLineEdit)
        field.selectAll()
        QTest.keyClicks(field, name)
        QTest.keyClick(field, Qt.Key.Key_Return)


def segment(case: Recorder, labels: np.ndarray) -> None:
    """Liver and aorta by clicks, the right kidney by a box, the left one by a scribble."""
    case.key("Alt+5")
    case.take("The liver window: Alt+5")
    case.key("Ctrl+2")
    liver = deepest_voxel(labels == LIVER)
    case.go(liver)
    case.take("The coronal plane: Ctrl+2")
    case.key("Q")
    case.click(liver)
    case.name("liver")
    case.take("A click in the liver, named: Q, Shift+N")
    for place in range(4):
        found = case.widget.view.session.mask()
        index, positive = next_click(found, labels == LIVER, SPACING)
        case.key("Q" if positive else "W")
        case.click(index)
        if place == 0:
            case.take("A click takes away what is none of it: W")
    case.key("Alt+1")
    case.key("N")
    case.key("G")
    kidney = np.argwhere(labels == RIGHT_KIDNEY)
    low, high = kidney.min(axis=0) - 1, kidney.max(axis=0) + 1
    middle = (low + high) // 2
    case.go(middle)
    case.hand.drag(*(case.world((end[0], middle[1], end[2])) for end in (low, high)))
    case.settle()
    case.name("kidney_right")
    case.take("A box round the right kidney: G")
    case.key("N")
    case.key("Ctrl+1")
    case.key("Q")
    aorta = labels == AORTA
    heights = np.flatnonzero(aorta.any(axis=(0, 1)))
    for height in (heights[len(heights) // 3], heights[2 * len(heights) // 3]):
        case.click((*deepest_voxel(aorta[..., height : height + 1])[:2], int(height)))
    case.name("aorta")
    case.take("The aorta by two clicks")
    case.key("N")
    case.key("Ctrl+2")
    case.key("Shift+W")
    left = labels == LEFT_KIDNEY
    j = int(left.sum(axis=(0, 2)).argmax())
    rows = np.flatnonzero(left[:, j].any(axis=0))[3:-3]
    path = [
        (float(np.flatnonzero(left[:, j, k]).mean()), j, int(k)) for k in rows[:: len(rows) // 4]
    ]
    case.go(path[len(path) // 2])
    with case.hand.drawing(*(case.world(each) for each in path)):
        pass
    case.settle()
    case.name("kidney_left")
    case.take("A scribble through the left kidney: Shift+W")


def hand_on(case: Recorder, folder: Path) -> None:
    """Measure, clean up, look at all of it, and save three files."""
    from napari_fastsam3d._napari.dialogs.measures import MeasuresDialog

    case.key("Alt+M")
    dialog = case.widget.findChild(MeasuresDialog)
    case.until(lambda: dialog.rows)
    case.take("Measures of every object: Alt+M", dialog)
    dialog.close()
    with case.answering(lambda asked: QTest.keyClick(asked, Qt.Key.Key_Return)):
        case.key("Alt+J")
    case.settle()
    case.take("Smoothed by a clean-up, which Undo takes back: Alt+J")
    case.key("Ctrl+5")
    case.take("Four linked views: Ctrl+5")
    case.key("Ctrl+5")
    case.key("Ctrl+4")
    case.until(lambda: "Surfaces" in case.viewer.layers)
    wait(500)
    case.take("Smooth surfaces, facing the patient: Ctrl+4")
    case.key("Ctrl+1")
    chosen = QFileDialog.getSaveFileName
    for name in ("mask.nii.gz", "mask.seg.nrrd", "mask.dcm"):
        QFileDialog.getSaveFileName = lambda *_, name=name, **_more: (str(folder / name), "")
        case.key("Shift+S")
        case.until(lambda name=name: (folder / name).exists())
        case.settle()
    QFileDialog.getSaveFileName = chosen
    case.take("Saved as NIfTI, for 3D Slicer, and as DICOM Segmentation: Shift+S")


def check(folder: Path, series: Path, case: Recorder) -> None:
    """Compare what was saved with what was seen."""
    volume = read_volume(series)
    seen = case.widget.view.session.label_map()
    assert np.array_equal(read_labels(folder / "mask.nii.gz", volume).labels, seen)
    for name in ("mask.seg.nrrd", "mask.dcm"):
        found = read_segments(folder / name, volume)
        assert len(found) == len(case.widget.view.session.state.objects)
        for each in found:
            own = next(o for o in case.widget.view.session.state.objects if o.name == each.name)
            assert each.mask.equals(case.widget.view.session.region(own.id))


def main(out: Path) -> None:
    """Record the case."""
    out.mkdir(parents=True, exist_ok=True)
    series = out / "torso"
    labels = write_series(series)
    case = Recorder(out)
    case.open_scan(series)
    case.take("A CT, opened from its DICOM folder")
    segment(case, labels)
    hand_on(case, out)
    check(out, series, case)
    case.viewer.close()
    case.open_window()
    case.open_scan(series)
    case.until(lambda: case.widget.banner.isVisible())
    case.take("After a quit, or a crash, the work is found again")
    QTest.mouseClick(case.widget.banner.go_on, Qt.MouseButton.LeftButton)
    case.until(lambda: len(case.widget.view.session.state.objects) == 4)
    case.settle()
    case.take("Gone on with: objects, prompts and every step")
    write_gif(case.frames, out / "case.gif")
    case.viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
