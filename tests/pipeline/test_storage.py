from pathlib import Path

import pytest

from pipeline.storage import Directory
from stages.errors import WorkerError


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with directory.create("a.tar") as file:
        file.write(b"half")
        assert not directory.exists("a.tar")
    assert directory.read("a.tar") == b"half"
    assert directory.names() == ["a.tar"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with pytest.raises(TypeError), directory.create("a.tar") as file:
        file.writelines([b"half", 5])  # type: ignore[list-item]  # fails in the middle
    assert directory.names() == []


def test_two_attempts_at_one_file_do_not_meet(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with directory.create("a.tar") as lost, directory.create("a.tar") as second:
        lost.write(b"lost worker, still writing")
        second.write(b"same bytes")
    assert directory.names() == ["a.tar"]


def test_a_partial_file_that_vanished_is_explained(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with pytest.raises(WorkerError, match="let only one run write to"), directory.create("a.tar"):
        directory.remove_partials()


def test_partials_of_lost_attempts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    directory.write("a.json", b"{}")
    (tmp_path / "a.tar.123.partial").write_bytes(b"x")
    directory.remove_partials()
    assert directory.names() == ["a.json"]


def test_a_range_is_read_without_the_rest(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    directory.write("a", b"0123456789")
    assert directory.read_range("a", 3, 4) == b"3456"


def test_a_missing_directory_has_no_names(tmp_path: Path) -> None:
    assert Directory(str(tmp_path / "none")).names() == []
