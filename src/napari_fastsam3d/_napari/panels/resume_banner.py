# pyright: basic
"""Offers to go on with work that a crash or a quit interrupted."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_fastsam3d._napari.dialogs.earlier_sessions import counted
from napari_fastsam3d.session import SavedSession, worked_on

_BOTH = "It is kept, and so is what you do now."


class ResumeBanner(QFrame):
    """What was found, and two buttons; hidden while there is nothing to offer.

    It waits without being in the way. A click begins afresh, and what was found is put aside then;
    the offer stays until the user has answered it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.found = QLabel()
        self.found.setWordWrap(True)
        self.found.setTextFormat(Qt.TextFormat.PlainText)
        self.go_on = QPushButton("Go on")
        self.go_on.setToolTip("Bring back the objects, prompts and masks of that time.")
        self.afresh = QPushButton("Start afresh")
        self.afresh.setToolTip("What was found stays in the list of earlier sessions (Shift+H).")
        buttons = QHBoxLayout()
        buttons.addWidget(self.go_on)
        buttons.addWidget(self.afresh)
        layout = QVBoxLayout(self)
        layout.addWidget(self.found)
        layout.addLayout(buttons)
        self._accepted: Callable[[], None] | None = None
        self._declined: Callable[[], None] | None = None
        self.go_on.clicked.connect(self._accept)
        self.afresh.clicked.connect(self._decline)
        self.withdraw()

    def offer(
        self,
        kept: SavedSession,
        accepted: Callable[[], None],
        declined: Callable[[], None],
        begun: bool = False,
    ) -> None:
        """Tell what was found, and call `accepted` or `declined` when the user has chosen.

        `begun` tells that the user has begun something new meanwhile.
        """
        self._accepted, self._declined = accepted, declined
        self.found.setText(f"{told(kept)} {_BOTH}" if begun else told(kept))
        self.afresh.setText("Not now" if begun else "Start afresh")
        self.setVisible(True)

    def withdraw(self) -> None:
        """Offer nothing any more."""
        self._accepted = self._declined = None
        self.setVisible(False)

    def _accept(self) -> None:
        accepted = self._accepted
        self.withdraw()
        if accepted is not None:
            accepted()

    def _decline(self) -> None:
        declined = self._declined
        self.withdraw()
        if declined is not None:
            declined()


def told(kept: SavedSession) -> str:
    """Say in a sentence or two what a journal holds."""
    when = "" if kept.saved is None else f" of {kept.saved:%d %b %H:%M}"
    sentence = f"Unfinished work{when} on this scan: {counted(worked_on(kept.history.state))}."
    return f"{sentence} {kept.damage}" if kept.damage else sentence
