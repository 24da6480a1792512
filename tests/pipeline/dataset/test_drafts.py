"""Publishing: a file appears whole, and nothing that somebody else has published is ever replaced."""

import errno
import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from pipeline.dataset.drafts import COMPARED_BYTES, NO_HARD_LINKS
from pipeline.dataset.storage import Directory
from stages.errors import ShardConflict, StorageError, WorkerError

LONG = bytes(2 * COMPARED_BYTES)


@pytest.fixture(params=["", "file://", "memory://"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Directory:
    """A new directory by its path and by two kinds of URL."""
    directory = Directory(f"{request.param}{tmp_path}/out")
    directory.make()
    return directory


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def publish(directory: Directory, content: bytes) -> None:
    with directory.publish("a.tar") as file:
        file.write(content)


def test_a_published_file_appears_when_it_is_complete_and_nothing_else_stays(
    anywhere: Directory, scratch: Path
) -> None:
    with anywhere.publish("a.tar") as file:
        file.write(b"half")
        assert not anywhere.exists("a.tar")
    assert (anywhere.names(), anywhere.read("a.tar")) == (["a.tar"], b"half")
    assert list(scratch.iterdir()) == []


def test_what_another_run_has_published_is_never_replaced(anywhere: Directory, scratch: Path) -> None:
    publish(anywhere, b"theirs")
    with pytest.raises(ShardConflict) as caught:
        publish(anywhere, b"others")
    assert str(caught.value) == (
        f"{anywhere}/a.tar must have the bytes that this run makes, got others, which another run has published; "
        "let one configuration write to a directory, or give another --out"
    ).replace("file://", "")
    assert (anywhere.names(), anywhere.read("a.tar")) == (["a.tar"], b"theirs")
    assert list(scratch.iterdir()) == []


def test_of_two_that_write_at_once_the_second_to_publish_loses(anywhere: Directory) -> None:
    loser = anywhere.draft("a.tar")
    loser.file.write(b"loser")
    publish(anywhere, b"winner")
    with pytest.raises(ShardConflict, match="must have the bytes that this run makes"):
        loser.publish()
    loser.discard()
    assert anywhere.read("a.tar") == b"winner"


def test_equal_bytes_are_as_good_as_ones_own(anywhere: Directory) -> None:
    publish(anywhere, LONG)
    publish(anywhere, LONG)
    assert (anywhere.names(), anywhere.read("a.tar") == LONG) == (["a.tar"], True)


@pytest.mark.parametrize("other", [b"", LONG[:-1], LONG + b"\0", LONG[:-1] + b"1", b"1" + LONG[1:]])
def test_bytes_are_compared_to_the_end(anywhere: Directory, other: bytes) -> None:
    publish(anywhere, LONG)
    with pytest.raises(ShardConflict):
        publish(anywhere, other)


def test_after_a_conflict_the_draft_can_still_be_put_in_place(anywhere: Directory) -> None:
    publish(anywhere, b"of nobody")
    draft = anywhere.draft("a.tar")
    draft.file.write(b"mine")
    with pytest.raises(ShardConflict):
        draft.publish()
    draft.replace()
    draft.discard()
    assert (anywhere.names(), anywhere.read("a.tar")) == (["a.tar"], b"mine")


def test_a_draft_that_was_closed_is_published_whole(anywhere: Directory) -> None:
    draft = anywhere.draft("a.tar")
    draft.file.write(b"whole")
    draft.close()
    assert draft.file.closed
    assert not anywhere.exists("a.tar")
    draft.publish()
    draft.discard()
    assert (anywhere.names(), anywhere.read("a.tar")) == (["a.tar"], b"whole")


def test_an_error_publishes_nothing_and_leaves_nothing(anywhere: Directory, scratch: Path) -> None:
    with pytest.raises(TypeError), anywhere.publish("a.tar") as file:
        file.writelines([b"half", 5])  # type: ignore[list-item]  # fails in the middle
    assert anywhere.names() == []
    assert list(scratch.iterdir()) == []


def test_a_partial_that_vanished_before_it_was_published_is_explained(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with pytest.raises(WorkerError) as caught, directory.publish("a.tar"):
        directory.remove_partials()
    advice = f"must stay until it is published, got a removal meanwhile; let only one run write to {tmp_path}"
    assert advice in str(caught.value)


@pytest.fixture(params=sorted(NO_HARD_LINKS), ids=lambda number: errno.errorcode[number])
def without_links(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Directory:
    """A directory on a file system that has no hard links, as exFAT and some network mounts."""

    def refuse(*names: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "link", refuse)
    return Directory(str(tmp_path))


@pytest.mark.parametrize("locks", [True, False])
def test_without_hard_links_publishing_keeps_its_promise(
    without_links: Directory, locks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*descriptor: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if not locks:
        monkeypatch.setattr(fcntl, "flock", refuse)
    publish(without_links, b"theirs")
    publish(without_links, b"theirs")
    with pytest.raises(ShardConflict, match=r"a\.tar must have the bytes that this run makes, got others"):
        publish(without_links, b"others")
    assert (without_links.names(), without_links.read("a.tar")) == (["a.tar"], b"theirs")


def test_a_link_that_fails_otherwise_is_no_reason_to_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    directory = Directory(str(tmp_path))
    with pytest.raises(StorageError, match=r"a\.tar must be writable, got No space left on device; make room there"):
        publish(directory, b"mine")
    assert directory.names() == []
