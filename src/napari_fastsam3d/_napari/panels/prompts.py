"""The tools that make prompts, and undo."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.commands.candidates import larger_candidate, smaller_candidate
from napari_fastsam3d._napari.commands.history import flip_point, redo, reset_object, undo
from napari_fastsam3d._napari.commands.tool_selection import (
    adjust,
    box,
    brush,
    erase,
    exclude,
    freeze,
    include,
    lasso,
    pan,
    ruler,
    scribble,
)
from napari_fastsam3d._napari.panels.controls import Controls, fit_tool
from napari_fastsam3d._napari.panels.layout import labelled
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace

_TOOLS = (
    (include, icons.include),
    (exclude, icons.exclude),
    (box, icons.box),
    (scribble, icons.scribble),
    (lasso, icons.lasso),
    (adjust, icons.adjust),
    (brush, icons.brush),
    (erase, icons.erase),
    (freeze, icons.freeze),
    (ruler, icons.ruler),
    (pan, icons.pan),
)
_IN_A_ROW = 4
_SMALL_ROW = 6


class PromptPanel(QWidget):
    """The tools, the depth of a box, candidates, undo, redo, flip and reset.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    """

    def __init__(self, work: Workspace, controls: Controls) -> None:
        super().__init__()
        self._work = work
        self.tools = {tool.key: controls.tool_button(tool, icon()) for tool, icon in _TOOLS}
        self.undo = controls.push_button(undo, icons.undo())
        self.redo = controls.push_button(redo, icons.redo())
        self.flip = controls.push_button(flip_point)
        self.reset = controls.push_button(reset_object)
        self.smaller = controls.push_button(smaller_candidate, icons.smaller())
        self.larger = controls.push_button(larger_candidate, icons.larger())
        self.box_depth = _depth_box()
        self.box_depth.valueChanged.connect(self._set_depth)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._grid = self._tool_grid()
        self._small = False
        self._depth_row = QWidget()
        depth = labelled("Box depth", self.box_depth)
        depth.setContentsMargins(0, 0, 0, 0)
        self._depth_row.setLayout(depth)
        layout.addLayout(self._grid)
        layout.addWidget(self._depth_row)
        layout.addLayout(_row(self.smaller, self.larger))
        layout.addLayout(_row(self.undo, self.redo, self.flip, self.reset))
        work.toolbox.changed.connect(self._show_tool)
        work.toolbox.refused.connect(self._show_tool)
        work.switched.connect(self._serve)
        self._serve(None)

    def arrange(self, small: bool) -> None:
        """Show the tools as icons in two rows, and the depth of boxes with their tool alone."""
        self._small = small
        for place, (tool, _) in enumerate(_TOOLS):
            button = self.tools[tool.key]
            fit_tool(button, tool, small)
            self._grid.addWidget(button, *divmod(place, _SMALL_ROW if small else _IN_A_ROW))
        self._show_tool()

    def _show_tool(self) -> None:
        """Show which tool is active."""
        tool = self._work.toolbox.tool
        self._depth_row.setVisible(tool == "box" or not self._small)
        for key, button in self.tools.items():
            button.setChecked(key == (tool or "pan") and self.isEnabled())

    def _serve(self, view: SessionView | None) -> None:
        self.setEnabled(view is not None)
        self._set_depth(self.box_depth.value())
        self._show_tool()

    def _set_depth(self, depth: float) -> None:
        """Give the next box a depth in mm; 0 lets it be found."""
        if self._work.view is not None:
            self._work.view.boxes.rule.depth = depth or None

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


def _depth_box() -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(0.0, 1000.0)
    spin.setDecimals(1)
    spin.setSingleStep(5.0)
    spin.setSuffix(" mm")
    spin.setSpecialValueText("found by itself")
    spin.setKeyboardTracking(False)
    spin.setToolTip(
        "How deep a new box is across the slice it is drawn in, centred on that slice. Found by\n"
        "itself it is as deep as wide, and deeper where the structure goes on.\n"
        "To change a box later, turn to another plane and drag its sides there."
    )
    return spin
