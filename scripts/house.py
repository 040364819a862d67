"""Print the measures of the house as a table: house.py [COMMIT ...].

The first column is each commit named, the last the working tree. What the rows mean:

- lines of a function: from its `def` to its end, docstring included
- import depth: modules of `session` on the longest chain in which each imports the next at its top
- circular imports: groups of modules that import one another, imports in functions and those for
  type checkers included, the package itself (which names its public parts lazily) left out
- `Any` in `_napari`: each time that the word stands there
- tests:code of a room: lines of `tests/ROOM` (for `_napari`: `tests/napari`) by those of the room
"""

import ast
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "napari_fastsam3d"
ROOMS = (
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
SMALL = 60
Graph = dict[str, set[str]]


def lines(path: Path) -> int:
    """How many lines a file has."""
    return len(path.read_text(encoding="utf-8").splitlines())


def total(folder: Path) -> int:
    """How many lines of Python a folder holds."""
    return sum(lines(path) for path in folder.rglob("*.py"))


def parsed(source: Path) -> dict[str, ast.Module]:
    """Parse every module of the package: trees by dotted name."""
    found: dict[str, ast.Module] = {}
    for path in (source / PACKAGE).rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = tree
    return found


def function_lengths(modules: dict[str, ast.Module]) -> list[int]:
    """How many lines each function has."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in modules.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def statements(tree: ast.AST, everywhere: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Find the imports at the top of a module, or also those in functions and for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif everywhere or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ):
            yield from statements(node, everywhere)


def imports(modules: dict[str, ast.Module], everywhere: bool) -> Graph:
    """Which modules of the package each module names in an import."""
    packages = {name.rpartition(".")[0] for name in modules}
    graph: Graph = {}
    for name, tree in modules.items():
        graph[name] = set()
        here = name if name in packages else name.rpartition(".")[0]
        for node in statements(tree, everywhere):
            if isinstance(node, ast.Import):
                named = {alias.name for alias in node.names}
            else:
                base = ".".join(here.split(".")[: 1 - node.level or None]) if node.level else ""
                stem = ".".join(filter(None, (base, node.module)))
                full = {alias.name: f"{stem}.{alias.name}" for alias in node.names}
                named = {part if part in modules else stem for part in full.values()}
            graph[name] |= (named & modules.keys()) - {name, PACKAGE}
    return graph


def cycles(graph: Graph) -> list[set[str]]:
    """Group the modules that can each be reached from each other one."""

    @cache
    def reached(start: str) -> frozenset[str]:
        found, left = set[str](), [start]
        while left:
            found |= (new := graph[left.pop()] - found)
            left += new
        return frozenset(found)

    groups: list[set[str]] = []
    for name in graph:
        if name in reached(name) and not any(name in group for group in groups):
            groups.append({other for other in reached(name) if name in reached(other)})
    return groups


def depth(graph: Graph, room: str) -> int:
    """How many modules of a room the longest chain of imports has."""

    def longest(name: str, above: frozenset[str]) -> int:
        below = {other for other in graph[name] - above if other.startswith(room)}
        return 1 + max((longest(other, above | {name}) for other in below), default=0)

    return max((longest(name, frozenset()) for name in graph if name.startswith(room)), default=0)


def measures(root: Path) -> dict[str, str]:
    """Measure one tree: the values by name."""
    house, tests = root / "src" / PACKAGE, root / "tests"
    files = {path.relative_to(house).as_posix(): lines(path) for path in house.rglob("*.py")}
    largest = max(files, key=files.__getitem__)
    modules = parsed(root / "src")
    functions = function_lengths(modules)
    session_depth = depth(imports(modules, everywhere=False), f"{PACKAGE}.session")
    words = [
        word
        for path in (house / "_napari").rglob("*.py")
        for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
    ]
    table = {
        "files": f"{len(files)}",
        f"files under {SMALL} lines": f"{sum(size < SMALL for size in files.values())}",
        "files over 300 lines": f"{sum(size > 300 for size in files.values())}",
        "largest file": f"{largest}, {files[largest]}",
        "function lines: median, p90, maximum": f"{median(functions):.0f}, "
        f"{quantiles(functions, n=10)[-1]:.0f}, {max(functions)}",
        "import depth of `session`": f"{session_depth}",
        "circular imports": f"{len(cycles(imports(modules, everywhere=True)))}",
        "`Any` in `_napari`": f"{words.count('Any')}",
        "lines of code": f"{total(house)}",
        "tests:code": f"{total(tests) / total(house):.2f}",
    }
    for room in ROOMS:
        if code := total(house / room):
            ratio = total(tests / room.removeprefix("_")) / code
            table[f"tests:code, `{room}`"] = f"{ratio:.2f}"
    return table


def at(commit: str) -> dict[str, str]:
    """Measure a commit."""
    command = ["git", "-C", str(ROOT), "archive", commit, "src", "tests"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        return measures(Path(folder))


def main(commits: list[str]) -> None:
    """Print the table."""
    columns = {commit: at(commit) for commit in commits} | {"now": measures(ROOT)}
    print("| |", " | ".join(columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for row in columns["now"]:
        print(f"| {row} |", " | ".join(column.get(row, "") for column in columns.values()), "|")
    graph = imports(parsed(ROOT / "src"), everywhere=True)
    for group in cycles(graph):
        print("\ncircular:", ", ".join(sorted(group)))


if __name__ == "__main__":
    main(sys.argv[1:])
