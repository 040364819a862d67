# pyright: basic
"""The tools that make prompts, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_fastsam3d._napari.panels import icons
from napari_fastsam3d._napari.panels.buttons import fit_tool, push_button, tool_button
from napari_fastsam3d._napari.panels.column import labelled

TOOLS = ("include", "exclude", "box", "adjust", "brush", "erase", "freeze", "pan")
_IN_A_ROW = 4


class PromptPanel(QWidget):
    """The tools, the depth of a box, undo, redo, flip and reset.

    Parameters
    ----------
    verbs : mapping of str to callable
        What each action of the table does.
    depth_changed : callable
        Called with the depth of the next box in mm, or None for a depth like its sides.
    """

    def __init__(
        self,
        verbs: Mapping[str, Callable[[], None]],
        depth_changed: Callable[[float | None], None],
    ) -> None:
        super().__init__()
        self.tools = {key: tool_button(key, getattr(icons, key)(), verbs[key]) for key in TOOLS}
        self.undo = push_button("undo", verbs["undo"], icons.undo())
        self.redo = push_button("redo", verbs["redo"], icons.redo())
        self.flip = push_button("flip_point", verbs["flip_point"])
        self.reset = push_button("reset_object", verbs["reset_object"])
        self.box_depth = _depth_box(depth_changed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._grid = self._tool_grid()
        self._small, self._tool = False, None
        self._depth_row = QWidget()
        depth = labelled("Box depth", self.box_depth)
        depth.setContentsMargins(0, 0, 0, 0)
        self._depth_row.setLayout(depth)
        layout.addLayout(self._grid)
        layout.addWidget(self._depth_row)
        layout.addLayout(_row(self.undo, self.redo, self.flip, self.reset))

    def arrange(self, small: bool) -> None:
        """Show the tools as icons in one row, and the depth of boxes with their tool alone."""
        self._small = small
        for place, (key, button) in enumerate(self.tools.items()):
            fit_tool(button, key, small)
            self._grid.addWidget(button, *divmod(place, len(TOOLS) if small else _IN_A_ROW))
        self.choose(self._tool)

    def choose(self, tool: str | None) -> None:
        """Show which tool is in hand."""
        self._tool = tool
        self._depth_row.setVisible(tool == "box" or not self._small)
        for key, button in self.tools.items():
            button.setChecked(key == (tool or "pan") and self.isEnabled())

    def enable(self, undo: bool, redo: bool, flip: bool, reset: bool) -> None:
        """Enable what can be done now."""
        self.undo.setEnabled(undo)
        self.redo.setEnabled(redo)
        self.flip.setEnabled(flip)
        self.reset.setEnabled(reset)

    def _tool_grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(4)
        for place, button in enumerate(self.tools.values()):
            row, column = divmod(place, _IN_A_ROW)
            grid.addWidget(button, row, column)
            button.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
            grid.setColumnStretch(column, 1)
        return grid


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _depth_box(changed: Callable[[float | None], None]) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1000.0)
    box.setDecimals(1)
    box.setSingleStep(5.0)
    box.setSuffix(" mm")
    box.setSpecialValueText("found by itself")
    box.setKeyboardTracking(False)
    box.setToolTip(
        "How deep a new box is across the slice it is drawn in, centred on that slice. Found by\n"
        "itself it is as deep as wide, and deeper where the structure goes on.\n"
        "To change a box later, turn to another plane and drag its sides there."
    )
    box.valueChanged.connect(lambda value: changed(value or None))
    return box
