"""The ways back to earlier sessions: the offer on opening a scan, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_fastsam3d._napari.background import BackgroundTasks
from napari_fastsam3d._napari.dialogs.earlier_sessions import EarlierDialog
from napari_fastsam3d._napari.dialogs.scan_chooser import FILTER
from napari_fastsam3d._napari.layers.scan_views import ScanViews
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d.errors import JournalError, VolumeError
from napari_fastsam3d.geometry import Volume, read_volume
from napari_fastsam3d.session import EarlierSession, earlier_sessions, sessions_folder
from napari_fastsam3d.session.journal.earlier import remove

_LOST = "The list of earlier sessions could not be read."
_FAILED = "The earlier session could not be opened."


class EarlierWork:
    """Lists earlier sessions and resumes them; none is thrown away by that.

    Parameters
    ----------
    parent : QWidget
        Over which the list appears.
    views : ScanViews
    tasks : BackgroundTasks
    show : callable
        Adds a volume to the viewer.
    choose : callable
        Chooses an image layer.
    """

    def __init__(
        self,
        parent: QWidget,
        views: ScanViews,
        tasks: BackgroundTasks,
        show: Callable[[Volume], None],
        choose: Callable[[Image], object],
    ) -> None:
        self._parent, self._views, self._tasks = parent, views, tasks
        self._show, self._choose = show, choose
        self._awaited: EarlierSession | None = None
        self.dialog: EarlierDialog | None = None

    def show_list(self) -> None:
        """Show the list of earlier sessions."""
        if self.dialog is None:
            self.dialog = EarlierDialog(self._parent, self.resume, self._remove)
        # What was listed before may have moved or gone since.
        self.dialog.wait()
        self._list()
        self.dialog.show()
        self.dialog.raise_()

    def settle(self, view: SessionView | None) -> None:
        """Resume the session whose scan was just opened for that."""
        awaited = self._awaited
        if view is None or awaited is None:
            return
        if view.frame.volume.content_hash == awaited.content_hash:
            self._awaited = None
            self._views.resume(view, awaited)

    def resume(self, session: EarlierSession) -> None:
        """Resume a session, on its scan where that is open, or else open it."""
        view = self._views.of_scan(session.content_hash)
        if view is not None:
            self._choose(view.image)
            self._find(view, session.session)
            return
        path = session.source
        if path is None or not path.exists():
            path = self._ask(session)
        if path is not None:
            self._tasks.run(
                f"Opening {session.scan}...",
                lambda: _scan_of(session, path),
                lambda volume: self._open(session, volume),
                _FAILED,
            )

    def accept_offer(self, view: SessionView) -> None:
        """Resume what was found when the scan was opened, whatever was done since."""
        kept = view.journal.offer
        if kept is None:
            return
        if not view.begun:
            view.journal.resume(kept)
            return
        view.journal.decline()
        self._find(view, kept.facts.get("session", ""))

    def _find(self, view: SessionView, session: str) -> None:
        """Resume a session of an open scan, whose journal may have moved since it was seen."""
        self._tasks.run(
            "Looking for the earlier session...",
            lambda: _found(view, session),
            lambda session: self._views.resume(view, session),
            _FAILED,
        )

    def _open(self, session: EarlierSession, volume: Volume) -> None:
        self._awaited = session
        self._show(volume)

    def _ask(self, session: EarlierSession) -> Path | None:
        asked = f"Where is the scan {session.scan}?"
        chosen, _ = QFileDialog.getOpenFileName(self._parent, asked, "", FILTER)
        return Path(chosen) if chosen else None

    def _list(self) -> None:
        used = self._views.journals()
        self._tasks.run(
            "Reading the list of earlier sessions...",
            lambda: [each for each in earlier_sessions(sessions_folder()) if each.path not in used],
            self._show_sessions,
            _LOST,
        )

    def _show_sessions(self, sessions: list[EarlierSession]) -> None:
        if self.dialog is not None:
            self.dialog.show_sessions(sessions)

    def _remove(self, session: EarlierSession) -> None:
        self._tasks.run(
            "Removing the session...",
            lambda: remove(session),
            lambda _: self._list(),
            "The session could not be removed.",
        )


def _scan_of(session: EarlierSession, path: Path) -> Volume:
    """Read the scan of a session; VolumeError where the file holds another one by now."""
    volume = read_volume(path, frame=session.frame, series=session.series)
    if volume.content_hash != session.content_hash:
        raise VolumeError(
            f"{path.name} is not the scan of that session: its voxels or its geometry differ.",
            "Open the scan as it was then; the session stays in the list.",
        )
    return volume


def _found(view: SessionView, wanted: str) -> EarlierSession:
    """Find a session by its identity where it lies by now."""
    view.session.wait()
    for each in earlier_sessions(sessions_folder()):
        if each.session == wanted:
            return each
    raise JournalError(
        "That session is not there any more.", "Choose another in the list of earlier sessions."
    )
