"""What the parts of a window need of each other, for those that the window is put together of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.layers import Image
from psygnal import SignalInstance
from qtpy.QtWidgets import QWidget

from napari_fastsam3d._napari.background import BackgroundTasks
from napari_fastsam3d._napari.dialogs.earlier_work import EarlierWork
from napari_fastsam3d._napari.layers.scan_views import ScanViews
from napari_fastsam3d._napari.main_thread import CleanupStack, Dispatcher
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.viewer_events import ViewerEvents
from napari_fastsam3d.geometry import Volume

if TYPE_CHECKING:
    from napari.viewer import Viewer


@dataclass(frozen=True, eq=False)
class Host:
    """The viewer, the sessions in it, and ways to read, to tell and to choose.

    Parameters
    ----------
    parent : QWidget
        Over which dialogs appear.
    viewer : napari viewer, possibly behind its public proxy
    views : ScanViews
    tasks : BackgroundTasks
    dispatcher : Dispatcher
    cleanup : CleanupStack
    events : ViewerEvents
    earlier : EarlierWork
    switched : SignalInstance
        Another session is worked on.
    add_scan : callable
        Adds a volume to the viewer.
    choose : callable
        Chooses an image layer, as if the user had.
    tell : callable
        Shows a sentence in the status line.
    """

    parent: QWidget
    viewer: Viewer
    views: ScanViews
    tasks: BackgroundTasks
    dispatcher: Dispatcher
    cleanup: CleanupStack
    events: ViewerEvents
    earlier: EarlierWork
    switched: SignalInstance
    add_scan: Callable[[Volume], object]
    choose: Callable[[Image], object]
    tell: Callable[[str], object]

    @property
    def view(self) -> SessionView | None:
        """The session of the chosen scan; None where there is none."""
        return self.views.current
