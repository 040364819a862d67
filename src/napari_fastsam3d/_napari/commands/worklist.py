"""Commands that go through a folder of scans, one case after the other."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import WhyNot, command
from napari_fastsam3d._napari.dialogs.worklist import WorklistDialog
from napari_fastsam3d._napari.workspace import Workspace

_NO_LIST = "Open a folder of scans as a worklist first."
_NO_CASE = "Choose a case of the worklist first ({key})."


def _no_neighbour(by: int) -> WhyNot:
    def why_not(work: Workspace) -> str | None:
        if work.cases.current is None:
            return _no_case(work)
        edge = "after" if by > 0 else "before"
        return None if work.cases.neighbour(by) else f"There is no case {edge} this one."

    return why_not


def _no_case(work: Workspace) -> str | None:
    if work.cases.current is not None:
        return None
    return _NO_LIST if work.cases.worklist is None else _NO_CASE.format(key=worklist.shortcuts[0])


def _go(work: Workspace, by: int) -> None:
    case = work.cases.neighbour(by)
    if case is not None:
        work.cases.go(case, by)


@command(
    "Worklist...",
    "Go through a folder of scans case by case: masks are saved as you go on, done cases are "
    "ticked, and the next time you begin where you stopped.",
    "Alt+U",
)
def worklist(work: Workspace) -> None:
    """Show the list of cases, or ask for a folder of them."""
    shown = work.parent.findChild(WorklistDialog) or WorklistDialog(work)
    shown.show()
    shown.raise_()
    shown.activateWindow()


@command(
    "Next case",
    "Save the masks of this case, and open the next one.",
    "Ctrl+PgDown",
    why_not=_no_neighbour(1),
)
def next_case(work: Workspace) -> None:
    """Open the next case."""
    _go(work, 1)


@command(
    "Previous case",
    "Save the masks of this case, and open the one before.",
    "Ctrl+PgUp",
    why_not=_no_neighbour(-1),
)
def previous_case(work: Workspace) -> None:
    """Open the case before."""
    _go(work, -1)


@command(
    "Done, next",
    "Tick this case as done, save its masks, and open the next one that isn't done.",
    "Ctrl+Shift+PgDown",
    why_not=_no_case,
)
def case_done(work: Workspace) -> None:
    """Mark the case as done, and open the next one that isn't."""
    current = work.cases.current
    if current is None:
        return
    work.cases.mark(current, True)
    further = work.cases.neighbour(1, undone=True)
    if further is not None:
        work.cases.go(further)
    else:
        work.cases.save()
        work.message.emit("That was the last case: all are done.")


WORKLIST_COMMANDS = (worklist, next_case, previous_case, case_done)
