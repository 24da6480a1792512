"""Configuration tables back to TOML, for the data card: what tomllib reads from it is what went in.

The standard library reads TOML and does not write it; configurations need a small part of the language.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = "Scalar | Sequence[Value] | Mapping[str, Value] | None"


def to_toml(table: Mapping[str, Value]) -> str:
    """Write a table: its plain values, then its tables and lists of tables.

    A value of None is left out, which is how a TOML file says it.
    """
    return "\n".join(_lines(table, "")).strip() + "\n"


def _lines(table: Mapping[str, Value], path: str) -> Iterator[str]:
    tables: list[tuple[str, Mapping[str, Value]]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            tables.append((f"[{path}{key}]", value))
        elif entries := _tables_of(value):
            tables += [(f"[[{path}{key}]]", entry) for entry in entries]
        elif value is not None:
            yield f"{key} = {_inline(value)}"
    for heading, inner in tables:
        yield ""
        yield heading
        yield from _lines(inner, heading.strip("[]") + ".")


def _tables_of(value: Value) -> list[Mapping[str, Value]]:
    """The entries of a list of tables; empty for anything else."""
    if isinstance(value, list | tuple):
        tables = [each for each in value if isinstance(each, Mapping)]
        return tables if len(tables) == len(value) else []
    return []


def _inline(value: Value) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_inline(each) for each in value)}]"
    if isinstance(value, float):
        return repr(value)
    # A JSON string, number or truth value is also TOML's, but for a DEL character, which JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
