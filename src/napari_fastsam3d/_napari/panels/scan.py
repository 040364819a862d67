# pyright: basic
"""Which scan is segmented."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_fastsam3d._napari.actions import action
from napari_fastsam3d._napari.panels import icons
from napari_fastsam3d._napari.panels.buttons import icon_button, push_button


class ScanPanel(QWidget):
    """Combo box of the image layers, a button that opens a file, and the facts of the scan.

    Parameters
    ----------
    images : callable
        Returns the image layers of the viewer.
    chosen : callable
        Called with the layer that the user chose.
    verbs : mapping of str to callable
        What each action of the table does.
    window : QWidget
        Shows and changes the grey window.
    """

    def __init__(
        self,
        images: Callable[[], Sequence[Any]],
        chosen: Callable[[Any], None],
        verbs: Mapping[str, Callable[[], None]],
        window: QWidget,
    ) -> None:
        super().__init__()
        self._images = images
        self._chosen = chosen
        self.combo = ComboBox(
            choices=self._choices, nullable=True, tooltip="The image layer that is segmented."
        )
        self.combo.changed.connect(lambda _: self._chosen(self.layer))
        # A long name of a layer must not widen the dock.
        self.combo.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open_button = push_button("open_scan", verbs["open_scan"])
        self.earlier_button = icon_button("earlier_sessions", icons.clock(), verbs)
        self.compact_button = icon_button("compact", icons.compact(), verbs)
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setTextFormat(Qt.TextFormat.PlainText)
        self.facts.setToolTip("Size, voxel size and what had to be assumed of the scan.")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo.native, 0, 0)
        layout.addWidget(self.open_button, 0, 1)
        layout.addWidget(self.earlier_button, 0, 2)
        layout.addWidget(self.compact_button, 0, 3)
        layout.addWidget(self.facts, 1, 0, 1, 4)
        layout.addWidget(window, 2, 0, 1, 4)
        layout.setColumnStretch(0, 1)

    def arrange(self, small: bool) -> None:
        """Leave more room for the name of the scan, or write out what the button does."""
        self.open_button.setText("Open..." if small else action("open_scan").text)

    @property
    def layer(self) -> Any:
        """The chosen image layer, or None."""
        found = [each for each in self._images() if each.unique_id == self.combo.value]
        return found[0] if found else None

    def refresh(self) -> None:
        """Offer the image layers that the viewer has now; without a choice, take the newest."""
        before = self.combo.value
        images = self._images()
        with self.combo.changed.blocked():
            self.combo.reset_choices()
            if self.combo.value is None and images:
                self.combo.value = images[-1].unique_id
        if self.combo.value != before:
            self._chosen(self.layer)

    def choose(self, layer: Any) -> None:
        """Choose an image layer as if the user had."""
        with self.combo.changed.blocked():
            self.combo.reset_choices()
        self.combo.value = layer.unique_id

    def tell(self, facts: str) -> None:
        """Show the facts of the scan."""
        self.facts.setText(facts)
        self.facts.setVisible(bool(facts))

    def _choices(self, _widget: Any = None) -> list[tuple[str, Any]]:
        return [(layer.name, layer.unique_id) for layer in self._images()]
