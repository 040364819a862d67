"""The journal of a session as the window uses it: safety, earlier work, the view and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QBuffer, QByteArray, QIODevice, Qt
from qtpy.QtGui import QImage

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.navigation import Navigation
from napari_fastsam3d._napari.layers.outline import Plane
from napari_fastsam3d._napari.main_thread import Dispatcher, notify
from napari_fastsam3d.errors import JournalError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import (
    EarlierSession,
    JournalStatus,
    ObjectState,
    SavedSession,
    Session,
    worked_on,
)

PICTURE_SIDE = 96
_MASK_OPACITY = 0.5


class SessionJournal:
    """Keeps a session on disk, and resumes the earlier work that it finds there.

    Parameters
    ----------
    session : Session
    dispatcher : Dispatcher
    navigation : Navigation
        Which slices are shown is kept too.
    picture : callable
        Returns a picture of the session as PNG.
    draw : callable
        Draws the session when it was resumed.

    Attributes
    ----------
    offer : SavedSession or None
        The earlier work on this scan that the user has not answered for yet.
    searched : Future of SavedSession, or None
        What was found on this scan; None where no journal is kept.
    trouble : JournalError or None
        Why the session is not safe on disk now.
    """

    found = Signal(SavedSession)
    status_changed = Signal(JournalStatus)

    def __init__(
        self,
        session: Session,
        dispatcher: Dispatcher,
        navigation: Navigation,
        picture: Callable[[], bytes],
        draw: Callable[[], object],
    ) -> None:
        self._session, self._dispatcher, self._navigation = session, dispatcher, navigation
        self._picture, self._draw = picture, draw
        self.offer: SavedSession | None = None
        self.searched: Future[SavedSession] | None = None
        self.trouble: JournalError | None = None
        # A session holds its listeners weakly, so this one lives as long as the journal.
        self._listener = dispatcher.to_main(self._on_status)
        session.journalled.connect(self._listener)

    def keep(self, earlier: EarlierSession | None = None) -> None:
        """Keep every change on disk from now on; `found` signals earlier work on this scan.

        Parameters
        ----------
        earlier : EarlierSession, optional
            A session on this scan that is resumed at once.
        """
        self.searched = found = self._session.keep_journal(earlier=earlier)
        # Where it fails, the status of the journal shows it.
        then = self._on_found if earlier is None else self.resume
        self._dispatcher.watch(found, then, lambda _error: None)

    def resume(self, kept: SavedSession) -> None:
        """Resume the earlier work that was found, in the slices that were shown then."""
        self.offer = None

        def show(_done: None) -> None:
            self._draw()
            if isinstance(kept.view, dict):
                self._navigation.go_to_steps(kept.view.get("step"))

        self._dispatcher.watch(self._session.resume(), show, notify)

    def decline(self) -> None:
        """Offer the earlier work no more; it stays in the list of earlier sessions."""
        self.offer = None

    def keep_view(self) -> None:
        """Record which slices are shown, and a picture of them."""
        self._session.keep_view({"step": self._navigation.steps()})
        self.keep_picture()

    def keep_picture(self) -> None:
        """Record a picture of the session, if there is anything in it."""
        if worked_on(self._session.state):
            self._session.keep_picture(self._picture())

    def _on_found(self, kept: SavedSession) -> None:
        if worked_on(kept.history.state):
            # SavedSession, because the user may look at another scan now and come back later.
            self.offer = kept
            self.found.emit(kept)
        elif kept.damage is not None:
            show_warning(kept.damage)

    def _on_status(self, status: JournalStatus) -> None:
        # A disk that is full stays so for a while: that is notified once, and stands in the status
        # until it serves again.
        if status.error is not None and self.trouble is None:
            notify(status.error)
        if status.state != "saving":
            self.trouble = status.error
        self.status_changed.emit(status)


def picture_of(
    image: Image,
    mask: Labels,
    frame: Frame,
    objects: Sequence[ObjectState],
    plane: Plane,
    region: Box,
) -> bytes:
    """Return a small picture of a session, by which it is recognised, as PNG.

    Parameters
    ----------
    image, mask : Image, Labels
        The scan and its masks, both in the grid of the frame.
    frame : Frame
    objects : sequence of ObjectState
        Whose labels are coloured.
    plane : Plane
        The slice to show, unless the region lies beside it: then the middle of that.
    region : Box
        Layer indices of the current object.
    """
    axis = 0 if plane.axis is None else plane.axis
    place = plane.position if plane.axis is not None else region.start[axis]
    if not region.is_empty and not region.start[axis] <= place < region.stop[axis]:
        place = (region.start[axis] + region.stop[axis]) // 2
    place = int(np.clip(place, 0, frame.shape[axis] - 1))
    grey = np.take(frame.view(frame.volume.voxels), place, axis)
    labels = np.take(np.asarray(mask.data), place, axis)
    low, high = (float(limit) for limit in image.contrast_limits if limit is not None)
    shown = np.clip((np.nan_to_num(grey.astype(float)) - low) / (high - low), 0, 1)
    colours = np.repeat(shown[..., None], 3, axis=2)
    for each in objects:
        own = labels == each.value
        colours[own] = (1 - _MASK_OPACITY) * colours[own] + _MASK_OPACITY * np.asarray(each.colour)
    height, width = (float(n) for n in np.delete(frame.spacing, axis) * labels.shape)
    return _png(np.ascontiguousarray(colours * 255, np.uint8), width / height)


def _png(colours: NDArray[np.uint8], aspect: float) -> bytes:
    rows, columns, _ = colours.shape
    image = QImage(colours.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    side = PICTURE_SIDE
    width, height = (side, side / aspect) if aspect >= 1 else (side * aspect, side)
    small = image.scaled(
        max(1, round(width)),
        max(1, round(height)),
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    stored = QByteArray()
    buffer = QBuffer(stored)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    small.save(buffer, "PNG")  # pyright: ignore[reportCallIssue, reportArgumentType]
    buffer.close()
    return bytes(stored.data())
