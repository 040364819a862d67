"""What importing costs: nothing heavy comes in before it is used, and the core needs no GUI."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "qtpy", "napari", "magicgui", "superqt", "nibabel", "pydicom", "scipy")


def heavy_after(*steps: str) -> list[set[str]]:
    """The heavy modules that a fresh interpreter holds after each of the pieces of code."""
    report = f"\nprint('HEAVY', *(m for m in {HEAVY!r} if m in sys.modules))\n"
    answer = run("import sys\n" + report.join((*steps, "")))
    assert answer.returncode == 0, answer.stderr
    lines = [line.split() for line in answer.stdout.splitlines()]
    return [set(words[1:]) for words in lines if words[:1] == ["HEAVY"]]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        capture_output=True,
        encoding="utf-8",  # other tests may have changed the locale of this process
        timeout=120,
    )


def test_nothing_heavy_is_loaded_before_it_is_used():
    """Neither by the errors nor by the package, nor by any command that only tells of itself."""
    package = "import napari_fastsam3d as fs; fs.__all__; dir(fs); fs.__version__"
    errors = "from napari_fastsam3d import FastSAM3DError"
    asked = [["--help"], ["--version"], ["segment", "--help"], []]
    told = [
        f"from napari_fastsam3d import cli\ncode = cli.run({words!r})\nassert code in (0, 2), code"
        for words in asked
    ]
    assert heavy_after(errors, package, *told) == [set()] * (2 + len(asked))


def test_geometry_needs_no_torch():
    (loaded,) = heavy_after("import napari_fastsam3d.geometry")
    assert loaded & {"torch", "qtpy", "napari"} == set()


def test_every_public_name_is_there():
    import napari_fastsam3d as fs

    assert all(getattr(fs, name) is not None for name in fs.__all__)


def test_an_unknown_name_is_an_attribute_error():
    import napari_fastsam3d as fs

    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = fs.Sesion


def test_the_core_works_where_there_is_no_gui():
    blocked = ("qtpy", "napari", "magicgui", "superqt", "vispy", "PySide6", "PyQt6")
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"  # None makes an import of it fail
        + "".join(
            f"import napari_fastsam3d.{room}\n"
            for room in ("session", "evaluation", "training", "serving", "cli")
        )
    )
    answer = run(code)
    assert answer.returncode == 0, answer.stderr
