"""Commands about structures that the model was taught."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import session_command
from napari_fastsam3d._napari.main_thread import notify
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.inference.automatic import AutomaticMask


def taught_structures(work: Workspace) -> tuple[str, ...]:
    """Return the structures that the present model was taught; none until it is loaded."""
    predictor = work.loader.thread.predictor
    if predictor is None:
        return ()
    found = [
        each.structure
        for each in work.memory.adapters.in_use()
        if each.model == predictor.fingerprint
    ]
    return tuple(sorted(found, key=str.casefold))


def _nothing_taught(work: Workspace, _view: SessionView) -> str | None:
    if work.teacher.ticked:
        return None
    return "No structure is ticked that the model was taught; see Teach in the Memory panel."


@session_command(
    "Segment automatically",
    "Segment the structures that the model was taught, without a click; each becomes an object.",
    "Shift+Alt+Q",
    why_not=_nothing_taught,
)
def segment_automatically(work: Workspace, view: SessionView) -> None:
    """Segment what is ticked, and tell what was found."""
    try:
        future = view.session.futures.segment_automatically(work.teacher.ticked)
    except FastSAM3DError as error:
        notify(error)
        return
    work.tasks.started.emit("Segmenting automatically...")

    def finish(found: tuple[AutomaticMask, ...]) -> None:
        work.tasks.finished.emit()
        missing = [each.name for each in found if each.mask.is_empty]
        count = len(found) - len(missing)
        words = f"{count} {'structure' if count == 1 else 'structures'} segmented"
        if missing:
            words += f"; nothing found of {', '.join(missing)}"
        work.message.emit(f"{words}. Accept, correct or remove each.")

    def fail(error: BaseException) -> None:
        notify(error)
        work.tasks.failed.emit("Nothing was segmented.")

    view.dispatcher.watch(future, finish, fail)


ADAPTER_COMMANDS = (segment_automatically,)
