"""What a transfer says where no terminal is."""

import pytest

from stages.web.progress import ProgressLines, in_words, progress_bar


def test_a_line_now_and_then_says_how_far_how_fast_and_how_long() -> None:
    said: list[str] = []
    lines = ProgressLines("val2017.zip", said.append, interval_seconds=0)
    lines.show(1_000_000, 815_585_330)
    lines.show(312_000_000, 815_585_330)
    lines.show(313_000_000, None)
    assert said[0] == "val2017.zip: 1.0 MB of 815.6 MB, 0 bytes/s"
    assert said[1].startswith("val2017.zip: 312.0 MB of 815.6 MB, ")
    assert said[1].endswith(" s left")
    assert said[2].startswith("val2017.zip: 313.0 MB, ")


def test_lines_are_rare_and_the_end_is_said_once() -> None:
    said: list[str] = []
    lines = ProgressLines("val2017.zip", said.append, interval_seconds=3600)
    for passed in range(0, 5000, 1000):
        lines.show(passed, 4000)
    lines.end()
    (line,) = said
    assert line.startswith("val2017.zip: 4.0 kB, ")


def test_where_nothing_passed_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("val2017.zip"):
        pass
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_a_transfer_ends_in_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("val2017.zip") as progress:
        progress(0, 2000)
        progress(2000, 2000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("val2017.zip: 2.0 kB, ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("count_bytes", "words"),
    [(12, "12 bytes"), (1500, "1.5 kB"), (815_585_330, "815.6 MB"), (19_336_861_798, "19.3 GB")],
)
def test_sizes_are_said_as_people_say_them(count_bytes: int, words: str) -> None:
    assert in_words(count_bytes) == words
