"""Tables for people: on a terminal by rich, which fits them to its width, and as lines of plain text.

Plain text is for what is copied and kept, such as figures: it is the same on a terminal and in a file. The tables of a
card are Markdown, see `pipeline.publish.markdown`. Rich is imported when it is needed: commands load this file.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Column, Table
    from rich.text import Text


def terminal_table(
    columns: "Sequence[Column | str]", rows: "Iterable[Sequence[str | Text]]", show_lines: bool = False
) -> "Table":
    """Lay out a table for rich; text is shown as it is, brackets and all, and `show_lines` rules off the rows."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, show_lines=show_lines)
    for row in rows:
        table.add_row(*(escape(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def text_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows of equally many cells as lines whose columns begin under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in padded]
