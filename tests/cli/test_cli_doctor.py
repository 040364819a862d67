"""The doctor: what it finds on this machine, and what it says of machines that lack something."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_fastsam3d import cli
from napari_fastsam3d.cli import compute, installation, window
from napari_fastsam3d.cli.check import Check
from napari_fastsam3d.cli.doctor import examine


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch):
    """Pretend that there is a display, or that there is none."""

    def pretend(there: bool) -> None:
        for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY", "DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        if there:
            monkeypatch.setenv("DISPLAY", ":99")

    return pretend


def test_a_check_that_breaks_counts_as_failed_and_stops_nothing():
    def broken_check():
        raise RuntimeError("no such thing")

    found = examine((broken_check, installation.python))

    assert [check.verdict for check in found] == ["fail", "OK"]
    assert found[0].name == "broken check"
    assert "no such thing" in found[0].text


def test_json_is_the_whole_output_and_tells_the_exit_code(capsys):
    code = cli.run(["doctor", "--json"])

    report = json.loads(capsys.readouterr().out)
    verdicts = {check["verdict"] for check in report["findings"]}
    assert verdicts <= {"OK", "warning", "fail"}
    assert report["healthy"] is ("fail" not in verdicts)
    assert code == (0 if report["healthy"] else 1)
    names = {check["name"] for check in report["findings"]}
    assert {"Python", "torch", "device", "memory", "default model", "napari", "Qt"} <= names


def test_the_table_names_every_check_and_its_remedy(capsys, screen):
    screen(False)

    cli.run(["doctor"])

    said = capsys.readouterr().out
    assert "Python" in said
    assert "display" in said
    assert "fix it: xvfb-run" in said


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path: Path, monkeypatch):
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", os.fspath(not_a_folder))

    found = by_name(installation.folders())

    if sys.platform.startswith("linux"):
        assert found["data folder"].verdict == "fail"
        assert found["data folder"].remedy
    assert found["cache folder"].verdict == "OK"


def test_looking_at_folders_leaves_nothing_behind(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", os.fspath(tmp_path))

    installation.folders()

    assert list(tmp_path.iterdir()) == []


def test_missing_libraries_come_with_the_command_that_installs_them(monkeypatch, screen):
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux leaves these libraries to the system")
    screen(True)
    missing = {"libfoo-of-nobody.so.1": "libfoo1", "libbar-of-nobody.so.2": "libbar2"}
    monkeypatch.setattr(window, "_LIBRARIES", {**missing, "libc.so.6": "libc6"})

    (found,) = window.qt_libraries()

    assert found.remedy == "sudo apt-get install -y libbar2 libfoo1"
    assert "libfoo-of-nobody.so.1" in found.text
    assert "libc.so.6" not in found.text
    assert found.verdict == ("fail" if window.has_napari() else "warning")


def test_without_a_display_what_the_window_lacks_is_no_failure(monkeypatch, screen):
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have a display")
    screen(False)
    monkeypatch.setattr(window, "_LIBRARIES", {"libfoo-of-nobody.so.1": "libfoo1"})

    checks = [*window.qt_libraries(), *window.display(), *window.opengl()]

    assert {check.verdict for check in checks} == {"warning"}


@pytest.mark.parametrize("platform", ["offscreen", "minimal"])
def test_a_platform_without_windows_is_no_display(screen, monkeypatch, platform):
    screen(True)
    assert window.has_display()
    monkeypatch.setenv("QT_QPA_PLATFORM", platform)
    assert not window.has_display()


def test_a_qt_that_dies_is_told_and_does_not_take_the_doctor_along(monkeypatch, screen):
    if not (sys.platform.startswith("linux") and window.has_napari()):
        pytest.skip("needs Linux, where a display can be absent, and a Qt binding")
    screen(True)  # there is none at :99, so Qt ends its process

    (found,) = window.opengl()

    assert found.verdict == "fail"
    assert found.remedy


@pytest.mark.gl
@pytest.mark.skipif(not window.has_display(), reason="needs a display")
def test_opengl_opens_where_there_is_a_window():
    (found,) = window.opengl()

    assert found.verdict == "OK", found.text
    assert " by " in found.text


def test_without_napari_the_window_is_a_warning_with_the_command(tmp_path: Path):
    code = (
        "import importlib.util as u, json\n"
        "find = u.find_spec\n"
        "gone = ('napari', 'PySide6', 'PyQt6')\n"
        "u.find_spec = lambda name, *rest: None if name in gone else find(name, *rest)\n"
        "from napari_fastsam3d.cli import window\n"
        "found = [*window.napari(), *window.qt_binding()]\n"
        "print(json.dumps([f.as_dict() for f in found]))"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    found = json.loads(answer.stdout)
    assert [check["verdict"] for check in found] == ["warning", "warning"]
    assert all("napari-fastsam3d[all]" in check["remedy"] for check in found)


def test_little_memory_is_a_warning(monkeypatch):
    monkeypatch.setattr(compute, "_ENOUGH_MEMORY", 1 << 60)

    (found,) = compute.memory()

    assert found.verdict == "warning"


def test_a_driver_that_torch_cannot_use_is_told(monkeypatch, tmp_path: Path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this torch can use its GPU")
    pretended = tmp_path / "nvidia-smi"
    pretended.write_text("#!/bin/sh\n")
    pretended.chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path), prepend=os.pathsep)

    (found,) = compute.cuda()

    assert found.verdict == "warning"
    assert "torch" in (found.remedy or "")
