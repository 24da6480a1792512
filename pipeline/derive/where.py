"""`--where "aesthetic > 6 and width >= 512"`: a condition on rows of the index, parsed and never executed.

    text ──Python's grammar──> comparisons, and, or, not ──columns of the index──> one truth value for each row

Names are the scores of the source (aesthetic, similarity, ...) and `key`, `license`, `width`, `height`, `captions` (how
many), `source_url`. A score that a row does not have fails every comparison, and so does its negation by `not`.
"""

import ast
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ConfigError

Mask = npt.NDArray[np.bool_]
TEXTS = ("key", "license", "source_url")
COLUMNS = (*TEXTS, "width", "height")
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class Where:
    """A parsed condition."""

    def __init__(self, text: str) -> None:
        """Parse; ConfigError, quoting the part, if it is not made of comparisons of names with numbers or texts."""
        self._text = text
        try:
            self._expression = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            raise self._refusal(text) from None
        self.names = sorted({node.id for node in ast.walk(self._expression) if isinstance(node, ast.Name)})
        self._evaluate(self._expression, lambda name: np.zeros(0, object if name in TEXTS else np.float64), rows=0)

    def __call__(self, table: pa.Table) -> Mask:
        """Say of each row of the index whether it is meant; ConfigError for a name that no row has."""

        def values(name: str) -> npt.NDArray[Any]:
            if name == "captions":
                return np.asarray(pc.list_value_length(table.column("captions")).to_numpy())
            if name in COLUMNS:
                return np.asarray(table.column(name).to_numpy())
            return _score(table.column("scores"), name)

        return self._evaluate(self._expression, values, table.num_rows)

    def check_names(self, known: Sequence[str]) -> None:
        """Refuse a name that is neither a column nor one of the `known` scores; ConfigError."""
        there = [*COLUMNS, "captions", *known]
        for name in self.names:
            if name not in there:
                raise ConfigError(f"--where {self._text!r} must name one of {', '.join(there)}, got {name}; correct it")

    def _evaluate(self, node: ast.expr, values: Callable[[str], npt.NDArray[Any]], rows: int) -> Mask:
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                return _all([self._evaluate(part, values, rows) for part in parts], rows)
            case ast.BoolOp(op=ast.Or(), values=parts):
                return ~_all([~self._evaluate(part, values, rows) for part in parts], rows)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                known = _all([~_is_unknown(values(name)) for name in _names(operand)], rows)
                return known & ~self._evaluate(operand, values, rows)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [self._side(side, values) for side in (left, *comparators)]
                results = [
                    self._compare(node, type(op), *pair)
                    for op, pair in zip(ops, itertools.pairwise(sides), strict=True)
                ]
                measured = [~_is_unknown(side) for side in sides if isinstance(side, np.ndarray)]
                return _all([*results, *measured], rows)
        raise self._refusal(ast.unparse(node))

    def _compare(self, node: ast.expr, kind: type[ast.cmpop], left: object, right: object) -> Any:
        try:
            return COMPARISONS[kind](left, right)
        except (KeyError, TypeError):
            raise self._refusal(ast.unparse(node)) from None

    def _side(self, node: ast.expr, values: Callable[[str], npt.NDArray[Any]]) -> npt.NDArray[Any] | float | str:
        match node:
            case ast.Name(id=name):
                return values(name)
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() | float() | str() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
        raise self._refusal(ast.unparse(node))

    def _refusal(self, part: str) -> ConfigError:
        return ConfigError(
            f"--where {self._text!r} must compare names with numbers or quoted texts, joined by and, or, not, such as "
            f"'aesthetic > 6 and width >= 512', got {part!r}; correct it"
        )


def _all(masks: Sequence[Any], rows: int) -> Mask:
    """Where every one of some masks, or truth values of all rows, is true."""
    every = np.ones(rows, np.bool_)
    for mask in masks:
        every &= mask
    return every


def _names(node: ast.expr) -> list[str]:
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]


def _is_unknown(values: npt.NDArray[Any]) -> Mask:
    """Which values are NaN; a text never is."""
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)


def _score(scores: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    found = pc.map_lookup(scores, pa.scalar(name), "first")
    return np.asarray(found.cast(pa.float64()).fill_null(float("nan")).to_numpy(), np.float64)
