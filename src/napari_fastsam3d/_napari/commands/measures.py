"""Commands that measure objects."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import nothing_begun, session_command
from napari_fastsam3d._napari.commands.files import ask_beside, save_in_background
from napari_fastsam3d._napari.dialogs.measures import MeasuresDialog
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.geometry.diameters import Line
from napari_fastsam3d.geometry.measures import Measures

_REPORTS = "PDF (*.pdf);;PNG (*.png)"


@session_command(
    "Measures...",
    "Measure every object: volume, diameters, surface, place, and the scan's values in it.",
    "Alt+M",
    why_not=nothing_begun,
)
def measures(work: Workspace, _view: SessionView) -> None:
    """Show the table of measures, which follows the masks as long as it is open."""
    shown = work.parent.findChild(MeasuresDialog) or MeasuresDialog(work)
    shown.show()
    shown.raise_()
    shown.activateWindow()


@session_command(
    "Draw diameters",
    "Draw the long and the short axis (RECIST) of this object into the scan, and turn to them.",
    "Alt+D",
    why_not=nothing_begun,
)
def draw_diameters(work: Workspace, view: SessionView) -> None:
    """Draw the axes of the current object as rulers."""
    own = view.current
    if own is None:
        return

    def draw(lines: list[Line]) -> None:
        view.show_rulers()
        view.rulers.add(lines)
        if lines:
            view.navigation.go_to_place(lines[0].start)
            work.message.emit(f"{own.name}: " + " × ".join(f"{x.length:.1f} mm" for x in lines))
        else:
            work.message.emit(f"{own.name} is empty.")

    work.tasks.run(
        f"Measuring {own.name}...",
        lambda: _axes(view.session.measures(own.id)[0].measures),
        draw,
        "Nothing was measured.",
    )


@session_command(
    "Report...",
    "Write a page as PDF or PNG: three planes with outlines, measures and the model. It names no "
    "patient.",
    "Shift+Alt+R",
    why_not=nothing_begun,
)
def save_report(work: Workspace, view: SessionView) -> None:
    """Ask for a file, and write a report without patient data to it."""
    _report(work, view, patient=False)


@session_command(
    "Report with patient...",
    "Write the same page with the name of the scan, and what DICOM says of patient and study.",
    "Shift+Alt+D",
    why_not=nothing_begun,
)
def save_patient_report(work: Workspace, view: SessionView) -> None:
    """Ask for a file, and write a report with patient data to it."""
    _report(work, view, patient=True)


def _report(work: Workspace, view: SessionView, patient: bool) -> None:
    path = ask_beside(work, view, "Save report", "_report.pdf", _REPORTS)
    if path is None:
        return
    low, high = (float(limit or 0) for limit in view.image.contrast_limits)
    save_in_background(
        work,
        view,
        path,
        lambda: [view.session.save_report(path, (low, high), patient)],
    )


def _axes(found: Measures) -> list[Line]:
    return [line for line in (found.long_axis, found.short_axis) if line is not None]


MEASURE_COMMANDS = (measures, draw_diameters, save_report, save_patient_report)
