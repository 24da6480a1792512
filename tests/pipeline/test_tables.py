"""Tables for people: what is in a cell is what is shown."""

import io

from rich.console import Console
from rich.table import Column
from rich.text import Text

from pipeline.tables import terminal_table, text_lines


def shown(table: object, width: int = 60) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue()


def test_a_path_with_brackets_is_shown_as_it_is() -> None:
    table = terminal_table((Column("name", no_wrap=True), "where"), [("midas", "/data/[old]/[/red]/dpt.pt")])
    assert "/data/[old]/[/red]/dpt.pt" in shown(table)


def test_text_may_have_a_style() -> None:
    assert "problem" in shown(terminal_table(("level",), [(Text("problem", style="red"),)]))


def test_rows_may_be_ruled_off() -> None:
    rows = [("one",), ("two",)]
    plain, ruled = (shown(terminal_table(("name",), rows, show_lines=lines)) for lines in (False, True))
    assert len(ruled.splitlines()) == len(plain.splitlines()) + 1


def test_columns_of_plain_text_begin_under_each_other_and_no_line_ends_with_spaces() -> None:
    rows = [("measure", "with", "samples"), ("F1 (1 is best)", "0.5", "8"), ("MSE", "", "")]
    assert text_lines(rows) == [
        "measure         with  samples",
        "F1 (1 is best)  0.5   8",
        "MSE",
    ]
