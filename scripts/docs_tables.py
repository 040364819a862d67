"""A hook of mkdocs: pages whose tables are made from the code, so that they cannot disagree.

A page asks for a table with a line of its own such as `<!-- made: command-line -->`.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from napari_fastsam3d._napari.commands.table import markdown_table
from napari_fastsam3d.cli import app

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"^<!-- made: ([a-z-]+) -->$", re.MULTILINE)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def _flags(option: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in [*option.opts, *option.secondary_opts])
    wants = "" if option.is_flag else option.metavar or option.opts[0].lstrip("-").upper()
    return f"{flags} {wants and f'`{wants}`'}".strip()


def _option_row(option: Any) -> str:
    told = _cell(option.help or "")
    plain = not option.is_flag and option.default not in (None, ()) and not callable(option.default)
    if getattr(option, "required", False):
        told += " **Required.**"
    elif plain:
        told += f" Default: `{option.default}`."
    return f"| {_flags(option)} | {told} |"


def _command(name: str, command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([f"napari-fastsam3d {name}", *(p.name.upper() for p in arguments)])
    told = inspect.cleandoc(command.help or "")
    lines = [f"## {name}", "", told, "", "```", f"{usage} [OPTIONS]", "```", ""]
    lines += ["| argument or option | what it does |", "|---|---|"]
    lines += [f"| `{p.name.upper()}` | {_cell(p.help or '')} |" for p in arguments]
    lines += [_option_row(option) for option in options]
    return [*lines, ""]


def command_line() -> str:
    """Write a section for each command, from the declarations that parse it."""
    group: Any = typer.main.get_command(app)
    return "\n".join(
        line for name in group.commands for line in _command(name, group.commands[name])
    )


def changelog() -> str:
    """Bring in the changelog at the root of the repository, without its title."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n")[2]


TABLES: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "changelog": changelog,
    "shortcuts": markdown_table,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put every table that a page asks for in the place of its mark."""
    return MARK.sub(lambda mark: TABLES[mark.group(1)](), markdown)
