"""The store that pauses and fails on cue does what a store of objects does, and keeps its scripts apart."""

import threading

import pytest

from pipeline.dataset.storage import Directory
from stages.errors import StorageError
from stages.rehearsal.storage import Operation, rehearsal


def test_a_store_does_what_a_directory_does() -> None:
    with rehearsal() as store:
        directory = Directory(store.url("one", "data"))
        directory.make()
        assert (directory.names(), directory.sizes()) == ([], {})
        directory.write("a.json", b"0123456789")
        (directory / "shards").write("0.tar", b"")
        assert sorted(directory.names()) == ["a.json", "shards"]
        assert directory.sizes() == {"a.json": 10}
        assert (directory / "shards").sizes() == {"0.tar": 0}
        assert directory.read_range("a.json", 3, 4) == b"3456"
        with directory.open("a.json") as file:
            assert (file.seek(-2, 2), file.read()) == (8, b"89")
        directory.remove("a.json")
        assert not directory.exists("a.json")
        assert directory.exists("shards")
        with pytest.raises(FileNotFoundError):
            directory.read("a.json")


def test_actors_see_the_same_files_and_have_scripts_of_their_own() -> None:
    with rehearsal() as store:
        first, second = (Directory(store.url(actor, "data")) for actor in ("first", "second"))
        store.script("first").fail(1, PermissionError("no"))
        with pytest.raises(StorageError):
            first.write("a", b"1")
        second.write("a", b"2")
        assert first.read("a") == b"2"
        assert store.script("first").operations == [Operation("put_file", "data/a"), Operation("cat_file", "data/a")]


def test_an_actor_waits_where_it_was_told_to_and_then_goes_on() -> None:
    with rehearsal() as store:
        pause = store.script("one").pause(1)
        directory = Directory(store.url("one", "data"))
        thread = threading.Thread(target=directory.write, args=("a", b"1"))
        thread.start()
        assert pause.reached()
        assert store.files == {}
        pause.go_on()
        thread.join()
        assert store.files == {"data/a": b"1"}


def test_an_answer_may_be_lost_after_the_store_has_done_what_was_asked() -> None:
    with rehearsal() as store:
        store.script("one").fail(1, ConnectionResetError("reset"), after=True)
        directory = Directory(store.url("one", "data"))
        with pytest.raises(StorageError, match=r"data/a must be writable, got ConnectionResetError: reset; run again"):
            directory.write("a", b"1")
        assert directory.read("a") == b"1"


def test_a_rehearsal_that_is_over_has_no_files() -> None:
    with rehearsal() as store:
        directory = Directory(store.url("one", "data"))
        directory.write("a", b"1")
    assert directory.names() == []
