"""The memory's lists: what is chosen in them stays chosen, and what is done is done to that."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox
from remembered import remembered
from scene import BALL, Scene, scan

from napari_fastsam3d.memory.question import RecalledCase


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """A scan, and three cases of another model: two livers and a spleen."""
    notification_manager.records.clear()
    scene = make_scene(scan())
    for seed, name in enumerate(("liver", "spleen", "liver")):
        scene.work.memory.bank.add(remembered(name, seed))
    scene.work.memory.changed.emit()
    return scene


def structures(scene: Scene) -> list[str]:
    rows = scene.widget.memory.structures
    return [rows.item(row).text() for row in range(rows.count())]


def chosen(rows: Any) -> str | None:
    item = rows.currentItem()
    return None if item is None else item.text()


def test_a_structure_stays_chosen_when_others_come_and_go(scene: Scene) -> None:
    panel, memory = scene.widget.memory, scene.work.memory
    assert structures(scene) == ["liver (2)", "spleen (1)"]
    assert chosen(panel.structures) == "liver (2)"
    panel.structures.setCurrentRow(1)
    for name in ("Aorta", "kidney", "stomach"):  # before it and after it
        memory.bank.add(remembered(name, 7))
        memory.changed.emit()
        assert chosen(panel.structures) == "spleen (1)"
    assert structures(scene) == [
        "Aorta (1)",
        "kidney (1)",
        "liver (2)",
        "spleen (1)",
        "stomach (1)",
    ]
    memory.forget_structure("Aorta")
    scene.settle()
    assert chosen(panel.structures) == "spleen (1)"
    memory.forget_structure("spleen")
    scene.settle()
    assert chosen(panel.structures) == "kidney (1)"  # it is gone: the first


def recalled(*cases: tuple[str, str, float]) -> tuple[RecalledCase, ...]:
    return tuple(RecalledCase(case, name, likeness, likeness / 2) for case, name, likeness in cases)


class AtOnce(Executor):
    """Has done everything before it returns, as a quick thread may have."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def test_a_picture_that_is_read_at_once_is_told_of_after_the_rows_are_drawn(
    scene: Scene, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, told = scene.work.memory, []
    monkeypatch.setattr(memory._tasks, "executor", AtOnce())
    case = memory.entries()[0].id
    assert memory.picture(case, lambda: told.append(memory.picture(case, told.clear))) is None
    assert told == []
    qtbot.waitUntil(lambda: bool(told), timeout=30_000)
    assert told[0].ndim == 2


def test_a_case_stays_chosen_when_another_click_makes_another_order(
    scene: Scene, qtbot: Any
) -> None:
    panel = scene.widget.memory
    first, second, third = (entry.id for entry in scene.work.memory.entries())
    panel._show_cases(recalled((first, "liver", 0.9), (second, "spleen", 0.8)))
    rows = panel.cases
    assert [rows.item(row).text() for row in range(2)] == [
        "liver: 90 % alike, weight 45 %",
        "spleen: 80 % alike, weight 40 %",
    ]
    assert chosen(rows) is None  # none is forgotten that nobody has pointed at
    assert not panel.forget.isEnabled()
    rows.setCurrentRow(1)
    assert panel.forget.isEnabled()
    panel._show_cases(
        recalled((second, "spleen", 0.9), (third, "liver", 0.7), (first, "liver", 0.6))
    )
    assert chosen(rows) == "spleen: 90 % alike, weight 45 %"
    assert rows.item(0).toolTip() == "Accepted on 2026-11-28 after 3 prompts."
    qtbot.waitUntil(lambda: not _icons(rows), timeout=30_000)  # they are read in another thread
    panel._show_cases(recalled((third, "liver", 0.7), (first, "liver", 0.6)))
    assert chosen(rows) is None
    rows.setCurrentRow(0)
    panel._on_forget()
    scene.settle()
    assert {entry.id for entry in scene.work.memory.entries()} == {first, second}
    assert scene.widget.memory_banner.text.text().startswith("Forgot liver of 2026-11-28")
    panel._show_cases(recalled((third, "liver", 0.7)))
    assert rows.item(0).toolTip() == "It was forgotten since."
    rows.setCurrentRow(0)
    assert not panel.forget.isEnabled()


def _icons(rows: Any) -> list[int]:
    """The rows whose picture is not there yet."""
    return [row for row in range(rows.count()) if rows.item(row).icon().isNull()]


def test_a_whole_structure_is_forgotten_only_after_a_yes(scene: Scene, monkeypatch: Any) -> None:
    panel, asked = scene.widget.memory, []
    answer = QMessageBox.StandardButton.No

    def question(_parent: Any, _title: str, text: str) -> QMessageBox.StandardButton:
        asked.append(text)
        return answer

    monkeypatch.setattr(QMessageBox, "question", staticmethod(question))
    panel.forget_all.trigger()
    assert structures(scene) == ["liver (2)", "spleen (1)"]
    assert asked == ["Remove all 2 cases of liver from this machine? This can't be undone."]
    answer = QMessageBox.StandardButton.Yes
    panel.forget_all.trigger()
    scene.settle()
    assert structures(scene) == ["spleen (1)"]
    panel.forget_all.trigger()
    scene.settle()
    assert structures(scene) == []
    assert not panel.forget_all.isEnabled()
    assert not panel.find_button.isEnabled()
    assert panel.structures.isHidden()
    assert panel.about.text() == "Nothing is remembered yet. Name an object and accept it."


def test_the_panel_says_what_is_recalled_and_why_nothing_is(scene: Scene) -> None:
    panel = scene.widget.memory
    assert panel.about.text() == "Click a structure, or find a remembered one."
    scene.click(BALL)
    assert panel.about.text() == "No remembered case is like this object."
    assert panel.switch.isChecked()
    scene.do("toggle_memory")
    assert panel.about.text() == "Nothing is recalled for this object."
    assert not panel.switch.isChecked()
    panel.way.setCurrentIndex(panel.way.findData("prior"))
    assert scene.work.memory.way == "prior"  # who chooses a way wants it
    assert panel.switch.isChecked()
    scene.do("lock_object")
    assert panel.switch.isChecked()  # of a locked object nothing changes: it is about the next one


def test_cases_that_can_not_be_read_or_found_are_told(
    scene: Scene, monkeypatch: Any, tmp_path: Path, qtbot: Any
) -> None:
    failed: list[str] = []
    scene.work.tasks.failed.connect(failed.append)
    labels = scene.session.label_map().copy()
    bad = tmp_path / "cases.zip"
    bad.write_bytes(b"no cases")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", staticmethod(lambda *_: (str(bad), "")))
    scene.do("import_memory")
    assert failed == ["Nothing was added."]
    assert len(scene.work.memory.entries()) == 3
    where = str(tmp_path / "no folder" / "cases")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", staticmethod(lambda *_: (where, "")))
    scene.do("export_memory")
    assert failed == ["Nothing was added.", "Nothing was written."]
    offered: list[list[str]] = []

    def choose(_p: Any, _t: str, _q: str, names: list[str], *_: Any) -> tuple[str, bool]:
        offered.append(names)
        return names[0], True

    monkeypatch.setattr(QInputDialog, "getItem", staticmethod(choose))
    scene.do("find_structure")  # of another model: nothing can be found by it
    qtbot.waitUntil(lambda: len(notification_manager.records) >= 3, timeout=30_000)
    scene.settle()
    assert offered == [["liver", "spleen"]]
    told = [(note.severity, note.message) for note in notification_manager.records]
    assert [severity for severity, _ in told[:2]] == ["error", "error"]
    assert "flood has no features by which cases could be recalled." in [text for _, text in told]
    assert np.array_equal(scene.session.label_map(), labels)
