"""The house of the project: which room may import which, read off the source of every module."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "napari_fastsam3d"
ROOT = Path(__file__).resolve().parents[1] / "src" / PACKAGE

# From the ground up: a room may import itself and the rooms before it.
HOUSE = (
    "geometry",
    "model",
    "memory",
    "inference",
    "session",
    "evaluation",
    "training",
    "serving",
    "cli",
    "_napari",
)
GROUND = ("errors",)  # importable from everywhere, and imports nothing of the package
GUI = {"napari", "qtpy", "magicgui", "superqt", "vispy", "PySide6", "PyQt6", "PyQt5", "PySide2"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "tools"}
MODULES = sorted(ROOT.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported(path: Path) -> tuple[tuple[int, str], ...]:
    """Every module named in an import, wherever it stands, relative ones made absolute."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[tuple[int, str]]:
    package = dotted(path) if path.name == "__init__.py" else dotted(path.parent / "__init__.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            stem = ".".join(filter(None, (base, node.module)))
            yield node.lineno, stem
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


def room(module: str) -> str | None:
    """The room a module of the package stands in; None for the package's own front door."""
    parts = module.split(".")
    if len(parts) < 2:
        return None
    return parts[1] if (ROOT / parts[1]).is_dir() or parts[1] in GROUND else None


def crossings(path: Path) -> list[str]:
    """The imports of one module that go up the house."""
    here = room(dotted(path))
    if here is None:
        return []
    allowed = {*GROUND} if here in GROUND else {*GROUND, *HOUSE[: HOUSE.index(here) + 1]}
    return [
        f"{dotted(path)}:{line} imports {name}"
        for line, name in imported(path)
        if name.split(".")[0] == PACKAGE and (there := room(name)) and there not in allowed
    ]


def test_every_room_has_its_place():
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}

    assert rooms <= set(HOUSE)
    assert {"geometry", "model", "session", "cli"} <= rooms


def test_imports_point_downward():
    assert [line for path in MODULES for line in crossings(path)] == []


def test_the_gui_is_imported_in_its_room_only():
    found = [
        f"{dotted(path)}:{line} imports {name}"
        for path in MODULES
        if room(dotted(path)) != "_napari"
        for line, name in imported(path)
        if name.split(".")[0] in GUI
    ]

    assert found == []


def test_no_module_is_named_after_nothing():
    parts = {path: set(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES}

    assert [path for path, names in parts.items() if names & NAMES_THAT_SAY_NOTHING] == []


@pytest.mark.parametrize("forbidden", ["torch"])
def test_the_ground_floor_needs_no_torch(forbidden: str):
    found = [
        f"{dotted(path)}:{line}"
        for path in MODULES
        if room(dotted(path)) in ("geometry", *GROUND)
        for line, name in imported(path)
        if name.split(".")[0] == forbidden
    ]

    assert found == []


def test_a_crossing_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    house = tmp_path / PACKAGE
    for name in ("geometry", "session"):
        (house / name).mkdir(parents=True)
    culprit = house / "geometry" / "box.py"
    culprit.write_text(
        "import numpy\n"
        "def f():\n"
        "    from ..session import Session\n"
        "    from napari_fastsam3d import errors\n"
        "    import napari_fastsam3d.session.mask\n"
    )
    monkeypatch.setitem(globals(), "ROOT", house)

    found = crossings(culprit)

    assert len(found) == 3  # the package, the name in it, and the dotted one
    assert all("session" in line for line in found)


def test_no_module_of_the_window_imports_itself_by_a_detour():
    """Imports for type checking and in functions count too."""
    modules = {dotted(path): path for path in MODULES if room(dotted(path)) == "_napari"}
    imports = {
        name: {other for _, other in imported(path) if other in modules and other != name}
        for name, path in modules.items()
    }
    done: set[str] = set()
    while ready := {name for name in imports if name not in done and imports[name] <= done}:
        done |= ready

    assert sorted(set(imports) - done) == []


def test_no_two_files_of_tests_have_one_name():
    """Files of tests are modules without a package, of which Python knows one of each name."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py")]
    several = {name for name in names if names.count(name) > 1 and name != "conftest.py"}
    assert not several
