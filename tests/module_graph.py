"""Who imports whom among condset's own modules, read from the source: what the tests of the house ask."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("stages", "pipeline", "train", "condset")


def modules(package: str) -> list[Path]:
    """The files of a package, sorted."""
    return sorted((ROOT / package).rglob("*.py"))


@cache
def parsed(source: str) -> ast.Module:
    """Parse a file's text once for all that is asked of it."""
    return ast.parse(source)


@cache
def imported(path: Path) -> set[str]:
    """The dotted names that a file imports, wherever it does: of modules, or of what a module holds."""
    names: set[str] = set()
    for node in ast.walk(parsed(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@dataclass(frozen=True, slots=True)
class Graph:
    """Dotted name of each module to those of the modules that it imports."""

    edges: Mapping[str, frozenset[str]]

    def between(self, folders: Iterable[str]) -> "Graph":
        """The graph of the folders: one imports another if any module below it does."""
        names = sorted(folders)
        edges = {
            name: {self._home(target, names) for each in self._below(name) for target in self.edges[each]}
            for name in names
        }
        return Graph({name: frozenset(targets - {name, ""}) for name, targets in edges.items()})

    def circle(self) -> list[str]:
        """Some circle of imports, or nothing."""
        done: set[str] = set()

        def walk(name: str, path: list[str]) -> list[str]:
            if name in path:
                return [*path[path.index(name) :], name]
            if name in done:
                return []
            for target in sorted(self.edges[name]):
                if found := walk(target, [*path, name]):
                    return found
            done.add(name)
            return []

        return next((found for name in sorted(self.edges) if (found := walk(name, []))), [])

    def _below(self, folder: str) -> list[str]:
        return [name for name in self.edges if name == folder or name.startswith(f"{folder}.")]

    def _home(self, module: str, folders: list[str]) -> str:
        return next((folder for folder in folders if module == folder or module.startswith(f"{folder}.")), "")


@cache
def module_graph() -> Graph:
    """Read every module of every package."""
    files = {_dotted(path): path for package in PACKAGES for path in modules(package)}
    edges = {}
    for name, path in files.items():
        targets = {target if target in files else target.rpartition(".")[0] for target in imported(path)}
        edges[name] = frozenset(targets & files.keys() - {name})
    return Graph(edges)


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
