"""Which scan is segmented."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui.widgets import ComboBox
from napari.layers import Image, Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.commands.scans import compact, earlier_sessions, open_scan
from napari_fastsam3d._napari.commands.volumes import VOLUME_COMMANDS
from napari_fastsam3d._napari.commands.worklist import WORKLIST_COMMANDS, worklist
from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layer_geometry import scan_in
from napari_fastsam3d._napari.main_thread import single_shot
from napari_fastsam3d._napari.panels.controls import Controls, menu_button
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace

_FRAME_MS = 300
_MORE_WIDTH = 34
_MORE = (*WORKLIST_COMMANDS, *VOLUME_COMMANDS)
_UPRIGHT = 1.0


class ScanPanel(QWidget):
    """Combo box of the image layers, a button that opens a file, and facts about the scan.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    *rows : QWidget
        Show and change how the scan is shown, from top to bottom.
    """

    def __init__(self, work: Workspace, controls: Controls, *rows: QWidget) -> None:
        super().__init__()
        self._work = work
        self._opened: list[Image] = []
        self._frame_timer = single_shot(self, _FRAME_MS, self._follow_frame)
        self.combo = ComboBox(
            choices=self._choices, nullable=True, tooltip="The image layer that is segmented."
        )
        self.combo.changed.connect(self._use)
        # A long name of a layer must not widen the dock.
        self.combo.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open_button = controls.push_button(open_scan)
        work.chooser.anchor = self.open_button
        work.chooser.others["Folder of scans, as a worklist..."] = lambda: worklist.run(work)
        more = controls.menu(_MORE, self)
        self.earlier_button = controls.icon_button(earlier_sessions, icons.clock())
        self.more = menu_button("…", "A worklist, other volumes, a second scan.", more)
        self.more.setMaximumWidth(_MORE_WIDTH)
        self.compact_button = controls.icon_button(compact, icons.compact())
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setTextFormat(Qt.TextFormat.PlainText)
        self.facts.setToolTip("Size, voxel size and what had to be assumed of the scan.")
        self._lay_out(rows)
        work.events.image_added.connect(self._on_added)
        work.events.layers_changed.connect(self._on_layers)
        work.events.layer_removed.connect(self._on_removed)
        work.events.image_renamed.connect(self.refresh)
        work.events.dims_changed.connect(self._on_dims)
        work.choice_requested.connect(self.choose)
        work.switched.connect(self._show_facts)

    def arrange(self, small: bool) -> None:
        """Leave more room for the name of the scan, or write out what the button does."""
        self.open_button.setText("Open..." if small else open_scan.text)

    @property
    def layer(self) -> Image | None:
        """The chosen image layer."""
        found = [each for each in self._work.images() if each.unique_id == self.combo.value]
        return found[0] if found else None

    def refresh(self) -> None:
        """Offer the image layers that the viewer has now; without a choice, take the newest."""
        before = self.combo.value
        images = self._work.images()
        with self.combo.changed.blocked():
            self._offer()
            if self.combo.value is None and images:
                self.combo.value = images[-1].unique_id
        if self.combo.value != before:
            self._use()

    def choose(self, layer: Image) -> None:
        """Choose an image layer as if the user had."""
        with self.combo.changed.blocked():
            self._offer()
        self.combo.value = layer.unique_id

    def _offer(self) -> None:
        """Offer the image layers that there are, and keep the one that is chosen.

        magicgui knows its entries again by their names, and a layer may have got another one.
        """
        chosen = self.combo.value
        self.combo.native.clear()
        self.combo.reset_choices()
        if chosen in self.combo.choices:
            self.combo.value = chosen

    def _lay_out(self, rows: Sequence[QWidget]) -> None:
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo.native, 0, 0)
        layout.addWidget(self.open_button, 0, 1)
        layout.addWidget(self.earlier_button, 0, 2)
        layout.addWidget(self.more, 0, 3)
        layout.addWidget(self.compact_button, 0, 4)
        layout.addWidget(self.facts, 1, 0, 1, 5)
        for place, row in enumerate(rows):
            layout.addWidget(row, 2 + place, 0, 1, 5)
        layout.setColumnStretch(0, 1)

    def _choices(self, _widget: object = None) -> list[tuple[str, object]]:
        return [(layer.name, layer.unique_id) for layer in self._work.images()]

    def _use(self, _choice: object = None) -> None:
        self._work.views.use(self.layer)

    def _on_added(self, layer: Image) -> None:
        if scan_in(layer.metadata) is not None:
            self._opened.append(layer)

    def _on_layers(self) -> None:
        # The viewer selects a new layer only after it has signalled it.
        self._work.dispatcher.defer(self._take_layers)

    def _take_layers(self) -> None:
        """Offer the images that there are, and choose a scan that was just opened."""
        opened, self._opened = self._opened, []
        self.refresh()
        there = [layer for layer in opened if layer in self._work.viewer.layers]
        if there and there[-1] is not self.layer:
            self.choose(there[-1])

    def _on_removed(self, _layer: Layer) -> None:
        self.refresh()

    def _on_dims(self) -> None:
        if self.layer is not None and self.layer.ndim > 3:
            self._frame_timer.start()

    def _follow_frame(self) -> None:
        self._work.views.follow(self.layer)

    def _show_facts(self, view: SessionView | None) -> None:
        self.facts.setText("" if view is None else scan_facts(view.frame))
        self.facts.setVisible(view is not None)


def scan_facts(frame: Frame) -> str:
    """Return size, voxel size, obliquity and what was assumed, in a few short lines."""
    volume = frame.volume
    voxels = " × ".join(str(count) for count in volume.shape)
    spacing = " × ".join(f"{size:.3g}" for size in volume.spacing)
    lines = [f"{voxels} voxels, {spacing} mm"]
    if volume.obliquity_degrees > _UPRIGHT:
        lines.append(
            f"Oblique by {volume.obliquity_degrees:.0f}°: shown along its own axes, saved as it is."
        )
    return "\n".join([*lines, *volume.notes, *frame.notes])
