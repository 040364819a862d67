"""Models come and go in the dialog: a real server on loopback, real files, a real window."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from napari_fastsam3d._napari.dialogs import models as models_dialog
from napari_fastsam3d.model import MODELS, available_models
from napari_fastsam3d.model.store import ModelStore

NAME = "sam-med3d"


class Gated(BaseHTTPRequestHandler):
    """Sends the first half of a file, and the rest when the gate opens; knows ranges."""

    content: bytes
    gate: threading.Event
    asked: list[int]

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._head(0)

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        self.asked.append(start)
        self._head(start)
        half = max(start, len(self.content) // 2)
        self.wfile.write(self.content[start:half])
        self.wfile.flush()
        self.gate.wait(60)
        with suppress(ConnectionError):  # the user stopped it
            self.wfile.write(self.content[half:])

    def _head(self, start: int) -> None:
        size = len(self.content)
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(size - start))
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()


@pytest.fixture
def gate() -> threading.Event:
    """Open unless a test closes it."""
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def server(
    turbo_file: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ThreadingHTTPServer]:
    facts = {"content": turbo_file.read_bytes(), "gate": gate, "asked": []}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Gated,), facts)) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        _offer(monkeypatch, f"http://127.0.0.1:{http.server_port}/turbo.pth")
        yield http
        gate.set()
        http.shutdown()
        thread.join()


def _offer(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setitem(MODELS, NAME, replace(MODELS[NAME], url=url))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the user answers, and the questions that were asked."""
    answers: dict[str, Any] = {"yes": True, "file": None, "questions": []}

    def agreed(_parent: Any, question: str) -> bool:
        answers["questions"].append(question)
        return answers["yes"]

    monkeypatch.setattr(models_dialog, "agreed", agreed)
    monkeypatch.setattr(models_dialog, "ask_checkpoint", lambda _: answers["file"])
    return answers


@pytest.fixture
def opened(make_widget: Callable[..., Any], qtbot: Any, answers: Any) -> tuple[Any, Any]:
    _, widget = make_widget()
    qtbot.waitUntil(lambda: not widget.busy)
    widget.model.manage_button.click()
    dialog = widget.model.dialog
    idle(qtbot, dialog)
    return widget, dialog


def idle(qtbot: Any, dialog: Any) -> None:
    qtbot.waitUntil(lambda: not dialog.busy, timeout=60_000)
    qtbot.wait(20)


def choose(dialog: Any, name: str) -> list[str]:
    """Select a row of the list, and give its words."""
    for row in range(dialog.list.topLevelItemCount()):
        item = dialog.list.topLevelItem(row)
        if item.text(0) == name:
            dialog.list.setCurrentItem(item)
            return [item.text(column) for column in range(dialog.list.columnCount())]
    raise AssertionError(f"{name} is not in the list")


def test_the_list_tells_state_size_licence_and_origin(opened: Any) -> None:
    _, dialog = opened
    assert choose(dialog, "default")[1] == "part of the package"
    assert not dialog.fetch_button.isEnabled()
    assert not dialog.remove_button.isEnabled()
    row = choose(dialog, "fastsam3d")
    assert row[1:4] == ["can be fetched", "638 MB", "Apache-2.0"]
    assert "huggingface.co" in row[4]
    assert dialog.fetch_button.isEnabled()


def test_a_fetched_model_can_be_chosen_and_removed(
    server: Any, opened: Any, answers: dict[str, Any], turbo_file: Path, qtbot: Any
) -> None:
    widget, dialog = opened
    assert NAME not in widget.model.model.choices
    choose(dialog, NAME)
    dialog.fetch_button.click()
    idle(qtbot, dialog)
    (question,) = answers["questions"]
    assert f"{turbo_file.stat().st_size / 1e6:.0f} MB" in question
    assert "Licence: Apache-2.0" in question
    assert MODELS[NAME].url in question
    assert "ready" in dialog.message.text()
    assert choose(dialog, NAME)[1] == "on this machine"
    assert NAME in widget.model.model.choices
    widget.model.model.value = NAME
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert widget.workspace.loader.trouble is None
    assert widget.workspace.loader.thread.predictor.name == NAME

    widget.model.model.value = "default"
    choose(dialog, NAME)
    dialog.remove_button.click()
    idle(qtbot, dialog)
    assert choose(dialog, NAME)[1] == "can be fetched"
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert NAME not in widget.model.model.choices


def test_nothing_is_downloaded_without_consent(
    server: Any, opened: Any, answers: dict[str, Any], qtbot: Any
) -> None:
    _, dialog = opened
    answers["yes"] = False
    choose(dialog, NAME)
    dialog.fetch_button.click()
    idle(qtbot, dialog)
    assert server.RequestHandlerClass.asked == []
    assert available_models() == ("default", "lite")


def test_a_stopped_download_goes_on_where_it_was(
    server: Any, gate: threading.Event, opened: Any, turbo_file: Path, qtbot: Any
) -> None:
    _, dialog = opened
    gate.clear()
    choose(dialog, NAME)
    dialog.fetch_button.click()
    qtbot.waitUntil(lambda: dialog.bar.value() > 0, timeout=60_000)
    assert dialog.stop_button.isEnabled()
    assert not dialog.import_button.isEnabled()
    dialog.stop_button.click()
    gate.set()  # the server was silent: only now is there a block before which to ask
    idle(qtbot, dialog)
    assert "stopped" in dialog.message.text()
    part = next((ModelStore().folder / "downloads").rglob("*.part"))
    arrived = part.stat().st_size
    assert 0 < arrived < turbo_file.stat().st_size
    dialog.fetch_button.click()
    idle(qtbot, dialog)
    assert NAME in available_models()
    assert server.RequestHandlerClass.asked == [0, arrived]


def test_without_a_network_the_way_by_a_file_is_told(
    opened: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    _, dialog = opened
    _offer(monkeypatch, "http://127.0.0.1:9/turbo.pth")
    dialog.refresh()
    idle(qtbot, dialog)
    choose(dialog, NAME)
    dialog.fetch_button.click()
    idle(qtbot, dialog)
    assert "napari-fastsam3d models import FILE" in dialog.message.text()
    assert dialog.fetch_button.isEnabled()


def test_a_file_is_imported_under_its_name(
    opened: Any, answers: dict[str, Any], turbo_file: Path, qtbot: Any
) -> None:
    widget, dialog = opened
    answers["file"] = turbo_file
    dialog.import_button.click()
    idle(qtbot, dialog)
    assert choose(dialog, "turbo")[1] == "on this machine"
    assert "turbo" in widget.model.model.choices


def test_a_file_that_is_no_model_is_refused_in_words(
    opened: Any, answers: dict[str, Any], tmp_path: Path, qtbot: Any
) -> None:
    _, dialog = opened
    answers["file"] = tmp_path / "notes.pth"
    answers["file"].write_text("no weights at all")
    dialog.import_button.click()
    idle(qtbot, dialog)
    assert "notes.pth" in dialog.message.text()
    assert available_models() == ("default", "lite")
    assert dialog.import_button.isEnabled()
