"""What the status line tells, and when."""

from typing import Any

import pytest

from napari_fastsam3d._napari.panels import status as status_panel
from napari_fastsam3d._napari.panels.status import StatusPanel


@pytest.fixture
def panel(qtbot: Any) -> StatusPanel:
    panel = StatusPanel()
    qtbot.addWidget(panel)
    panel.show()
    return panel


def test_what_ends_within_a_moment_is_not_told(panel: StatusPanel, qtbot: Any) -> None:
    panel.show_idle("Click.")
    panel.show_busy("Working...")
    assert panel.now.text() == "Click."
    assert not panel.bar.isVisible()
    panel.show_idle("Done.")
    qtbot.wait(status_panel._PATIENCE_MS + 100)
    assert panel.now.text() == "Done."
    assert not panel.bar.isVisible()


def test_what_lasts_is_told_and_the_bar_moves_in_steps(panel: StatusPanel, qtbot: Any) -> None:
    panel.show_busy("Loading...")
    qtbot.waitUntil(panel.bar.isVisible)
    assert panel.now.text() == "Loading..."
    assert panel.bar.maximum() > 0  # Qt's own moving bar would have none
    panel.show_busy("Looking...")
    assert panel.now.text() == "Looking..."
    before = panel.bar.value()
    qtbot.waitUntil(lambda: panel.bar.value() != before)
    panel.show_idle("Click.")
    assert not panel.bar.isVisible()
