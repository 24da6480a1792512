"""Names of our own modules that a test overwrites, read from its source and from the programs in its strings."""

import ast
from collections.abc import Iterator

from tests.module_graph import PACKAGES, parsed

PATCHES = frozenset({"setattr", "delattr", "setitem", "delitem"})
"""Methods of pytest's monkeypatch; the first is a function of Python's as well."""


def patched_names(source: str) -> list[str]:
    """Find every statement by which Python code overwrites a part of our modules, in its own words."""
    tree = parsed(source)
    ours = _imported_from_us(tree)
    found = [ast.unparse(node) for node in ast.walk(tree) if _overwrites(node, ours)]
    return found + [each for program in _programs(tree) for each in patched_names(program)]


def _imported_from_us(tree: ast.Module) -> set[str]:
    """The names that stand for our modules, or for what they hold."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names if _is_ours(alias.name)}
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _is_ours(dotted: str) -> bool:
    return dotted.partition(".")[0] in PACKAGES


def _overwrites(node: ast.AST, ours: set[str]) -> bool:
    match node:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return any(_is_part(each, ours) for each in targets)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return _is_part(target, ours)
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[first, *_]) if name in PATCHES:
            return _is_part(first, ours) or _is_named(first) or (isinstance(first, ast.Name) and first.id in ours)
    return False


def _is_part(node: ast.expr, ours: set[str]) -> bool:
    """Whether this is an attribute or an item of something that was imported from us."""
    root = node
    while isinstance(root, ast.Attribute | ast.Subscript):
        root = root.value
    return root is not node and isinstance(root, ast.Name) and root.id in ours


def _is_named(node: ast.expr) -> bool:
    """Whether this is a dotted name of ours; one that is put together may be."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and _is_ours(str(node.value)))


def _programs(tree: ast.Module) -> Iterator[str]:
    """The strings that are Python code, braces doubled for `format` or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            for text in (node.value, node.value.replace("{", "(").replace("}", ")")):
                try:
                    ast.parse(text)
                except SyntaxError:
                    continue
                yield text
                break
