"""The models command from end to end: real files, and a real server on loopback."""

import json
import threading
from collections.abc import Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from napari_fastsam3d import cli


class Quiet(SimpleHTTPRequestHandler):
    def log_request(self, *args: object) -> None:
        pass

    log_error = log_request


@pytest.fixture
def server(turbo_file: Path) -> Generator[str, None, None]:
    handler = partial(Quiet, directory=str(turbo_file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/turbo.pth"
        http.shutdown()
        thread.join()


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    assert cli.run(["models", "list", "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_the_list_tells_what_is_here_and_what_could_be(capsys):
    rows = listed(capsys)

    assert rows["default"]["state"] == "part of the package"
    assert rows["fastsam3d"]["state"] == "can be fetched"
    assert rows["sam-med3d"]["url"].endswith("sam_med3d_turbo.pth")
    assert {row["licence"] for row in rows.values()} == {"Apache-2.0"}


def test_the_list_is_a_table(capsys):
    assert cli.run(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert "fastsam3d" in said
    assert "can be" in said


def test_info_shows_licence_and_origin_before_anything_is_downloaded(capsys):
    assert cli.run(["models", "info", "fastsam3d"]) == 0
    said = capsys.readouterr().out
    assert "licence      Apache-2.0" in said
    assert "size         638 MB" in said
    assert "https://huggingface.co/techlove/FastSAM3D" in said


def test_fetch_shows_what_it_is_and_keeps_it(server: str, capsys):
    assert cli.run(["models", "fetch", "sam-med3d", "--url", server]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("sam-med3d: SAM-Med3D-turbo")
    assert lines[1] == "licence Apache-2.0, from https://huggingface.co/blueyo0/SAM-Med3D"
    assert lines[2].endswith(f"MB from {server}")
    assert lines[3].startswith("sam-med3d is ready (sam-med3d, ")
    assert "image encoder from turbo.pth" in lines[4]
    assert "first download" in lines[-1]
    assert "fetching sam-med3d: " in said.err
    assert listed(capsys)["sam-med3d"]["state"] == "on this machine"
    assert cli.run(["models", "fetch", "sam-med3d", "--url", "http://127.0.0.1:9/x.pth"]) == 0
    assert "here already" in capsys.readouterr().out


def test_a_fetched_model_segments(server: str, tmp_path: Path, capsys):
    import nibabel as nib

    scan = tmp_path / "scan.nii.gz"
    voxels = np.random.default_rng(0).normal(40, 9, (24, 20, 16)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([3.0, 3.0, 3.0, 1.0])), scan)
    mask = tmp_path / "mask.nii.gz"
    assert cli.run(["models", "fetch", "sam-med3d", "--url", server]) == 0

    code = cli.run(["segment", str(scan), "-p", "12,10,8", "--model", "sam-med3d", "-o", str(mask)])

    assert code == 0
    assert np.asarray(nib.load(mask).dataobj)[12, 10, 8] == 1


def test_import_info_and_remove(turbo_file: Path, capsys):
    command = ["models", "import", str(turbo_file), "--name", "mine", "--licence", "CC0"]
    assert cli.run(command) == 0
    capsys.readouterr()

    assert cli.run(["models", "info", "mine"]) == 0
    said = capsys.readouterr().out
    assert "state        on this machine" in said
    assert "licence      CC0" in said
    assert "provenance   mask decoder from turbo.pth" in said
    assert cli.run(["models", "remove", "mine"]) == 0
    assert capsys.readouterr().out.startswith("removed mine, ")
    assert "mine" not in listed(capsys)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["info", "sam"], "There are default, lite, fastsam3d, sam-med3d"),
        (["fetch", "default"], "Choose one of fastsam3d, sam-med3d"),
        (["remove", "default"], "part of the package"),
        (["remove", "mine"], "models list"),
        (["import", "nowhere.pth"], "no such file"),
        (["fetch", "sam-med3d", "--url", "http://127.0.0.1:9/x.pth"], "network"),
    ],
)
def test_errors_are_one_line(command: list[str], told: str, capsys):
    assert cli.run(["models", *command]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert told in said


def test_a_file_that_is_not_there_to_fetch(server: str, capsys):
    assert cli.run(["models", "fetch", "sam-med3d", "--url", server + "x"]) == 1
    assert "404" in capsys.readouterr().err


def test_without_a_command_help_is_shown(capsys):
    cli.run(["models"])
    said = capsys.readouterr()
    assert all(command in said.out + said.err for command in ("list", "info", "fetch", "import"))
