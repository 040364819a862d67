"""The documents a reader meets first: their links lead somewhere, their commands exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"```(?:bash|powershell)\n(.*?)```", re.DOTALL)


def commands(page: Path) -> list[str]:
    """The command lines of a page, its continued lines joined."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8").replace("    ```", "```"))
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_ours_exists_with_its_options(page: Path):
    import typer

    from napari_fastsam3d.cli import app

    known = typer.main.get_command(app).commands
    for line in commands(page):
        program, *words = line.split("#")[0].split() or [""]
        if program != "napari-fastsam3d" or not words:
            continue
        assert words[0] in known, line
        command = known[words[0]]
        if parts := getattr(command, "commands", {}):
            assert len(words) > 1, line
            assert words[1] in parts, line
            command = parts[words[1]]
        options = {flag for option in command.params for flag in option.opts} | {"--help"}
        assert {word for word in words[1:] if re.match(r"--?[a-z]", word)} <= options, line


def test_every_make_target_that_is_named_exists():
    named = {
        word
        for page in PAGES
        for word in re.findall(r"\bmake ([a-z]+)\b(?=[`\s])", page.read_text(encoding="utf-8"))
        if f"`make {word}" in page.read_text(encoding="utf-8")
        or f"\nmake {word}" in page.read_text(encoding="utf-8")
    }

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test", "docs", "lint", "types", "unit", "gl"} <= named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


def test_the_constraints_pin_every_dependency_once():
    pins = [
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = set(re.findall(r'^\s+"([a-z0-9-]+)(?:\[[a-z]+\])?>=', project, re.MULTILINE | re.I))

    assert len(pins) == len(set(pins))
    assert {name.lower() for name in wanted} - set(pins) == set()


def test_torch_is_pinned_without_the_name_of_a_build():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert [pin for pin in pins if pin.startswith("torch==")] == ["torch==2.13.0"]
    assert not any("+" in pin or "@" in pin for pin in pins if not pin.startswith("#"))


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_two_commands_do_what_they_say_without_doing_it():
    """make -n prints what it would run: the demonstration, and every check."""

    def would(target: str) -> str:
        command = ["make", "-n", target, "VENV=no-such-folder"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout

    assert "napari-fastsam3d demo" in would("demo")
    checks = would("test")
    assert all(word in checks for word in ("ruff", "pyright", "mkdocs", "not gl", "xcb"))
    assert "offscreen" in checks
