"""The list of earlier sessions: scan, date, objects and a picture of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d._napari.session_journal import PICTURE_SIDE
from napari_fastsam3d.session import EarlierSession

_NONE = "There is no earlier session. Every session with a prompt is kept, and listed here."
_READING = "Reading the list of earlier sessions..."
_PLACE = int(Qt.ItemDataRole.UserRole)
_SURE = "Remove the session of {scan} for good, with its {objects}? This can't be undone."


class EarlierDialog(QDialog):
    """Lists earlier sessions, and goes on with one.

    Parameters
    ----------
    parent : QWidget
    resume : callable
        Called with the session that was chosen.
    remove : callable
        Called with a session that is to be removed for good.
    """

    def __init__(
        self,
        parent: QWidget,
        resume: Callable[[EarlierSession], None],
        remove: Callable[[EarlierSession], None],
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Earlier sessions")
        self.resize(520, 460)
        self._resume, self._remove = resume, remove
        self._sessions: tuple[EarlierSession, ...] = ()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Find a scan or an object")
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(self._sift)
        self.about = QLabel(_NONE)
        self.about.setWordWrap(True)
        self.list = QListWidget()
        self.list.setIconSize(QSize(PICTURE_SIDE, PICTURE_SIDE))
        self.list.setWordWrap(True)
        self.list.currentItemChanged.connect(self._enable)
        self.list.itemActivated.connect(self._take)
        self.resume = QPushButton("Go on with it")
        self.resume.setToolTip(
            "Open its scan and bring back objects, prompts, masks and every step.\n"
            "What is done on that scan now is kept, and listed here."
        )
        self.resume.clicked.connect(self._take)
        self.remove = QPushButton("Remove...")
        self.remove.setToolTip("Remove the session for good, with its picture.")
        self.remove.clicked.connect(self._ask_to_remove)
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        row = QHBoxLayout()
        for button in (self.resume, self.remove, close):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        for widget in (self.filter, self.about, self.list):
            layout.addWidget(widget)
        layout.addLayout(row)
        self.show_sessions(())

    def wait(self) -> None:
        """List nothing until it is known what there is."""
        self.show_sessions(())
        self.about.setText(_READING)

    def show_sessions(self, sessions: Sequence[EarlierSession]) -> None:
        """List these sessions."""
        with signals_blocked(self.list):  # meanwhile no row is one of these sessions
            self._sessions = tuple(sessions)
            self.list.clear()
            for place, session in enumerate(self._sessions):
                self.list.addItem(_item(place, session))
        self.about.setText(_NONE)
        self.about.setVisible(not self._sessions)
        self.list.setVisible(bool(self._sessions))
        self.filter.setVisible(len(self._sessions) > 1)
        self._sift(self.filter.text())
        self.list.setCurrentRow(0)
        self._enable()

    @property
    def chosen(self) -> EarlierSession | None:
        """The session that is selected and seen."""
        item = self.list.currentItem()
        return None if item is None or item.isHidden() else self._sessions[item.data(_PLACE)]

    def _sift(self, text: str) -> None:
        for row in range(self.list.count()):
            item = self.list.item(row)
            item.setHidden(text.casefold() not in item.text().casefold())
        self._enable()

    def _enable(self, *_: object) -> None:
        self.resume.setEnabled(self.chosen is not None)
        self.remove.setEnabled(self.chosen is not None)

    def _take(self, _item: object = None) -> None:
        if (chosen := self.chosen) is not None:
            self.close()
            self._resume(chosen)

    def _ask_to_remove(self) -> None:
        if (chosen := self.chosen) is None:
            return
        sure = _SURE.format(scan=chosen.scan, objects=counted(chosen.objects))
        answer = QMessageBox.question(self, "Remove a session", sure)
        if answer == QMessageBox.StandardButton.Yes:
            self._remove(chosen)


def counted(names: Sequence[str]) -> str:
    """Say how many objects there are, and what they are called."""
    many = f"{len(names)} object{'' if len(names) == 1 else 's'}"
    return f"{many} ({', '.join(names)})" if names else many


def _item(place: int, session: EarlierSession) -> QListWidgetItem:
    when = "" if session.saved is None else f"{session.saved:%d %b %Y, %H:%M}"
    item = QListWidgetItem(f"{session.scan}\n{when}\n{counted(session.objects)}")
    item.setData(_PLACE, place)
    item.setToolTip(str(session.source or "An array made in memory"))
    picture = QPixmap()
    if session.picture is not None and picture.loadFromData(session.picture):
        item.setIcon(QIcon(picture))
    return item
