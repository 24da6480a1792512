from pathlib import Path

import pytest

from stages.collections.room import Need, most_bytes, room_in_words
from stages.errors import SourceError


def test_an_archive_makes_room_for_the_next_one() -> None:
    assert most_bytes([Need(100, 300, 100), Need(50, 60, 50)]) == 410
    assert most_bytes([Need(100, 300, 0), Need(50, 60, 0)]) == 510


def test_what_is_there_already_takes_no_more_room_and_gives_it_back() -> None:
    assert most_bytes([Need(0, 300, 1000), Need(500, 60, 500)]) == 300


def test_room_is_said_in_one_line(tmp_path: Path) -> None:
    line = room_in_words([Need(800_000, 1_000_000, 800_000)], tmp_path)
    assert line.startswith("800.0 kB to download, 1.0 MB unpacked; takes 1.8 MB at most of the ")
    assert line.endswith(f" that are free in {tmp_path}")


def test_too_little_room_is_an_error_that_says_how_much_is_there(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError,
        match=r" must have room for 2000000\.0 GB \(1000000\.0 GB to download, 1000000\.0 GB unpacked\), got .* free; ",
    ):
        room_in_words([Need(10**15, 10**15, 10**15)], tmp_path)
