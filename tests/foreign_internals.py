"""What a file takes from libraries without a promise of their authors, read from its source.

Private names (`torch.cpu._is_x()`, `from numpy._core import y`, `getattr(network, "_hooks")`), and the words of errors
(`"truncated" in str(error)`). Our own private names are ours to use, whatever object has them.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from tests.module_graph import PACKAGES, parsed

OURS = frozenset({*PACKAGES, "tests"})
DOCUMENTED = frozenset({"os._exit", "sys._current_frames"})
"""Private by their names, and described in Python's manual."""
BY_STRING = frozenset({"getattr", "setattr", "hasattr", "delattr"})
WHOLE = frozenset(
    f"str(error){how}" for how in (".split()", ".strip()", ".partition('\\n')", ".strip().partition('\\n')")
)
"""Ways to hand on the words of an error, or their first line, without knowing any of them."""


def own_private_names(sources: Iterable[str]) -> frozenset[str]:
    """The private names that our files define: functions, classes, variables, and attributes of self."""
    return frozenset(name for source in sources for name in _defined(parsed(source)) if _is_private(name))


def private_names_of_libraries(source: str, own: frozenset[str]) -> list[str]:
    """The private names that are not among our `own`, as they are written."""
    tree = parsed(source)
    modules = set(_foreign_modules(tree))
    found = [name for node in ast.walk(tree) for name in _private_names(node, modules, own)]
    return sorted(set(found) - DOCUMENTED)


def words_of_errors(source: str) -> list[str]:
    """Where the text of an error, caught or handed over under the name `error`, is taken apart or compared."""
    tree = parsed(source)
    errors = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name} | {"error"}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=words)) if error := _whose_text(words, errors):
                said = ast.unparse(node)
                found += [said] if said.replace(f"str({error})", "str(error)") not in WHOLE else []
            case ast.Compare(left=left, comparators=others):
                found += [ast.unparse(node)] if any(_whose_text(each, errors) for each in (left, *others)) else []
    return sorted(found)


@cache
def mentioned(source: str) -> set[str]:
    """Every dotted name and every short text that stands in a file, and every name that it imports."""
    names = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                yield node.attr


def _foreign_modules(tree: ast.AST) -> Iterator[str]:
    """The names under which a file has modules, classes and functions of others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops = ((alias.asname or alias.name).split(".")[0] for alias in node.names)
            yield from (top for top in tops if top not in OURS)
        elif isinstance(node, ast.ImportFrom) and _top(node) not in OURS:
            yield from (alias.asname or alias.name for alias in node.names)


def _private_names(node: ast.AST, modules: set[str], own: frozenset[str]) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names if any(map(_is_private, alias.name.split("."))))
        case ast.ImportFrom() if _top(node) not in OURS:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in names if any(map(_is_private, name.split("."))))
        case ast.Attribute() if _is_private(node.attr):
            first = ast.unparse(node).partition(".")[0]
            if first in modules or node.attr not in own:
                yield ast.unparse(node)
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in BY_STRING:
            texts = (each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str))
            yield from (text for text in texts if _is_private(text.split(".")[-1]) and text.split(".")[-1] not in own)


def _top(node: ast.ImportFrom) -> str:
    return (node.module or "tests").partition(".")[0]


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def _whose_text(node: ast.AST, errors: set[str]) -> str:
    """Name the error that this is the text of: str(error), error.args[0], or what a method makes of it."""
    match node:
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]) if name in errors:
            return name
        case ast.Subscript(value=ast.Attribute(value=ast.Name(id=name), attr="args")) if name in errors:
            return name
        case ast.Call(func=ast.Attribute(value=inner)):
            return _whose_text(inner, errors)
    return ""
