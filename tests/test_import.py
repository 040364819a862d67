"""What importing costs: nothing heavy comes in before it is used, and the core needs no GUI."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "qtpy", "napari", "magicgui", "superqt", "nibabel", "pydicom", "scipy")


def loaded_after(code: str) -> set[str]:
    """The heavy modules that a fresh interpreter holds after running the code."""
    report = f"\nimport json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    answer = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code + report],
        capture_output=True,
        encoding="utf-8",  # other tests may have changed the locale of this process
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    return set(json.loads(answer.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy():
    assert (
        loaded_after("import napari_fastsam3d as fs; fs.__all__; dir(fs); fs.__version__") == set()
    )


def test_the_errors_load_nothing_heavy():
    assert loaded_after("from napari_fastsam3d import FastSAM3DError") == set()


def test_geometry_needs_no_torch():
    assert loaded_after("import napari_fastsam3d.geometry") & {"torch", "qtpy", "napari"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["segment", "--help"], []])
def test_help_answers_without_torch(arguments: list[str]):
    code = (
        "import napari_fastsam3d.cli as cli\n"
        f"code = cli.run({arguments!r})\n"
        "assert code in (0, 2), code\n"
        "print()"
    )

    assert loaded_after(code) == set()


def test_every_public_name_is_there():
    import napari_fastsam3d as fs

    assert all(getattr(fs, name) is not None for name in fs.__all__)


def test_an_unknown_name_is_an_attribute_error():
    import napari_fastsam3d as fs

    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = fs.Sesion


@pytest.mark.parametrize("room", ["session", "evaluation", "training", "cli"])
def test_the_core_works_where_there_is_no_gui(room: str):
    blocked = ("qtpy", "napari", "magicgui", "superqt", "vispy", "PySide6", "PyQt6")
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"  # None makes an import of it fail
        f"import napari_fastsam3d.{room}\n"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )

    assert answer.returncode == 0, answer.stderr
