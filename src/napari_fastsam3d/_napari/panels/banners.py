"""Sentences above the status line that stay until they are settled, with buttons to settle them."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_fastsam3d._napari.commands.scans import earlier_sessions
from napari_fastsam3d._napari.dialogs.earlier_sessions import counted
from napari_fastsam3d._napari.main_thread import show_message, single_shot
from napari_fastsam3d._napari.panels.notice import NoticeChoice, choice_button
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import SavedSession, worked_on

_BOTH = "It is kept, and so is what you do now."
_COVERED = "You see {seen}, but a click segments {name}."
_HIDDEN = "{name} is hidden, and a click would still segment it."
_OUTSIDE = "This slice lies outside {name}: there is nothing to click."
_FOLLOWED = "{name} is segmented now, the scan that is seen."
_LONGEST = 18


class Banner(QFrame):
    """What the user has to know, and what can be done about it; hidden while there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.buttons: list[QPushButton] = []
        self._row = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addLayout(self._row)
        self.setVisible(False)

    def show_message(self, text: str, choices: Sequence[NoticeChoice] = ()) -> None:
        """Show a sentence and its buttons in place of those before."""
        if not self.isHidden() and text == self.text.text():
            return
        self._clear()
        self.text.setText(text)
        for choice in choices:
            button = choice_button(choice)
            self._row.addWidget(button)
            self.buttons.append(button)
        self.setVisible(True)

    def withdraw(self) -> None:
        """Hide."""
        self._clear()
        self.setVisible(False)

    def _clear(self) -> None:
        for button in self.buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []


class VisibilityBanner(Banner):
    """Says that the scan which is segmented is not the one that is seen.

    Where nothing was segmented yet, the scan that is seen is chosen instead.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        super().__init__()
        self._work = work
        self._timer: QTimer = single_shot(self, 0, self._check)
        for signal in (
            work.events.appearance_changed,
            work.events.image_renamed,
            work.events.layers_changed,
            work.events.layer_removed,
            work.events.dims_changed,
            work.switched,
        ):
            signal.connect(self.check_soon)

    def check_soon(self, _change: object = None) -> None:
        """Check what is seen once the change under way is over."""
        self._timer.start()

    def warning(self) -> str:
        """Return why a click would not do what it seems to; empty where it does."""
        view = self._work.view
        return (
            "" if view is None or self._work.visibility.now.clear else self._message(view.image)[0]
        )

    def _check(self) -> None:
        view, before = self._work.view, self._work.visibility.now
        visibility = self._work.visibility.check(view)
        if view is None or visibility.clear:
            self.withdraw()
        elif visibility.other is not None and not view.session.state.objects:
            self._work.choice_requested.emit(visibility.other)
            show_message(_FOLLOWED.format(name=visibility.other.name))
            return
        else:
            self.show_message(*self._message(view.image))
        if visibility != before:
            self._work.status_changed.emit()

    def _message(self, image: Image) -> tuple[str, list[NoticeChoice]]:
        work = self._work
        other, outside = work.visibility.now.other, work.visibility.now.outside
        if outside:
            middle = NoticeChoice(
                "Go to it", "Turn to its middle slice.", lambda: work.visibility.middle(image)
            )
            return _OUTSIDE.format(name=image.name), [middle]
        back = NoticeChoice(
            f"Show {_short(image.name)}",
            "Show the scan that is segmented.",
            lambda: work.visibility.bring(image, again=True),
        )
        if other is None:
            return _HIDDEN.format(name=image.name), [back]
        take = NoticeChoice(
            f"Segment {_short(other.name)}",
            "Segment the scan that is seen; what was done here stays with the other.",
            lambda: work.choice_requested.emit(other),
        )
        return _COVERED.format(seen=other.name, name=image.name), [take, back]


class ResumeBanner(QFrame):
    """Offers to resume work that a crash or a quit interrupted.

    It waits without being in the way. A click begins afresh, and what was found is put aside then;
    the offer stays until the user has answered it.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        super().__init__()
        self._work = work
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.found = QLabel()
        self.found.setWordWrap(True)
        self.found.setTextFormat(Qt.TextFormat.PlainText)
        self.go_on = QPushButton("Go on")
        self.go_on.setToolTip("Bring back the objects, prompts and masks of that time.")
        self.afresh = QPushButton("Start afresh")
        key = earlier_sessions.shortcuts[0]
        self.afresh.setToolTip(f"What was found stays in the list of earlier sessions ({key}).")
        buttons = QHBoxLayout()
        buttons.addWidget(self.go_on)
        buttons.addWidget(self.afresh)
        layout = QVBoxLayout(self)
        layout.addWidget(self.found)
        layout.addLayout(buttons)
        self.go_on.clicked.connect(self._accept)
        self.afresh.clicked.connect(self._decline)
        self.setVisible(False)
        for signal in (work.found, work.state_changed, work.switched):
            signal.connect(self._show_offer)

    def _show_offer(self, _change: object = None) -> None:
        view = self._work.view
        kept = None if view is None else view.journal.offer
        self.setVisible(kept is not None)
        if view is not None and kept is not None:
            found = _description(kept)
            self.found.setText(f"{found} {_BOTH}" if view.begun else found)
            self.afresh.setText("Not now" if view.begun else "Start afresh")

    def _accept(self) -> None:
        self.setVisible(False)
        if self._work.view is not None:
            self._work.earlier.accept_offer(self._work.view)

    def _decline(self) -> None:
        self.setVisible(False)
        if self._work.view is not None:
            self._work.view.journal.decline()


def _description(kept: SavedSession) -> str:
    """Return in a sentence or two what a journal holds."""
    when = "" if kept.saved is None else f" of {kept.saved:%d %b %H:%M}"
    sentence = f"Unfinished work{when} on this scan: {counted(worked_on(kept.history.state))}."
    return f"{sentence} {kept.damage}" if kept.damage else sentence


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip()}…"
