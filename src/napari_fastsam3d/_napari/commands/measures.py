"""Commands that measure objects."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import NO_OBJECT, session_command
from napari_fastsam3d._napari.dialogs.measures import MeasuresDialog
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.geometry.diameters import Line
from napari_fastsam3d.geometry.measures import Measures


def _nothing_begun(_work: Workspace, view: SessionView) -> str | None:
    return None if any(each.prompts for each in view.session.state.objects) else NO_OBJECT


@session_command(
    "Measures...",
    "Measure every object: volume, diameters, surface, place, and the scan's values in it.",
    "Alt+M",
    why_not=_nothing_begun,
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
    why_not=_nothing_begun,
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


def _axes(found: Measures) -> list[Line]:
    return [line for line in (found.long_axis, found.short_axis) if line is not None]


MEASURE_COMMANDS = (measures, draw_diameters)
