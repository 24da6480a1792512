import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from stages.errors import ConfigError, SourceError
from stages.fetch import ATTEMPTS, fetch
from stages.records import Reason, Rejection


class FailingFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Fails as often as it is told to, as a store behind a network does."""

    protocol = "failing"
    failures = 0

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        if FailingFileSystem.failures:
            FailingFileSystem.failures -= 1
            raise RuntimeError("503 slow down")  # of no kind that fsspec promises
        return b"0123456789"[start:end]


@pytest.fixture
def failing() -> Iterator[None]:
    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    yield
    FailingFileSystem.failures = 0


@pytest.fixture(params=["", "file://", "memory://"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A root that holds a/x.bin, by path and by two kinds of URL."""
    memory = request.param == "memory://"
    files = fsspec.filesystem("memory" if memory else "file")
    files.makedirs(f"{tmp_path}/a")
    files.pipe(f"{tmp_path}/a/x.bin", b"0123456789")
    return f"{request.param}{tmp_path}"


def test_a_file_below_the_root_is_read_whole(root: str) -> None:
    assert fetch("k", root, "a/x.bin") == b"0123456789"
    assert fetch("k", root + "/", "./a/x.bin") == b"0123456789"


def test_an_absolute_location_needs_no_root(root: str) -> None:
    assert fetch("k", "", f"{root}/a/x.bin") == b"0123456789"


def test_a_member_is_read_in_place(root: str) -> None:
    assert fetch("k", root, "member:a/x.bin?offset=3&bytes=4") == b"3456"
    assert fetch("k", root, "member:a/x.bin?offset=3&bytes=0") == b""


def test_a_missing_file_is_a_rejection(root: str) -> None:
    assert fetch("k", root, "b.bin") == Rejection(
        "k", Reason.MISSING_FILE, "b.bin must be a file below the source's root, got none"
    )
    assert fetch("k", root, "member:b.tar?offset=3&bytes=4") == Rejection(
        "k", Reason.MISSING_FILE, "b.tar must be a file below the source's root, got none"
    )


def test_a_tar_that_became_shorter_is_a_rejection(root: str) -> None:
    assert fetch("k", root, "member:a/x.bin?offset=8&bytes=4") == Rejection(
        "k", Reason.TRUNCATED, "member:a/x.bin?offset=8&bytes=4 must have 4 bytes, got 2"
    )


def test_what_is_larger_than_it_may_be_is_a_rejection_and_not_read(root: str) -> None:
    assert fetch("k", root, "a/x.bin", most_bytes=10) == b"0123456789"
    assert fetch("k", root, "a/x.bin", most_bytes=9) == Rejection(
        "k", Reason.TOO_LARGE, "a/x.bin must have at most 9 bytes, got more; fetch.max_file_bytes allows more"
    )
    assert fetch("k", root, "member:a/x.bin?offset=0&bytes=10", most_bytes=9) == Rejection(
        "k",
        Reason.TOO_LARGE,
        "member:a/x.bin?offset=0&bytes=10 must have at most 9 bytes, got 10; fetch.max_file_bytes allows more",
    )


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str, scheme: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "x")  # opening it for reading waits for a writer
    elif kind == "device":
        (tmp_path / "x").symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(tmp_path / "x"))
    detail = "x must be a regular file, got a pipe or a device"
    assert fetch("k", f"{scheme}{tmp_path}", "x") == Rejection("k", Reason.NOT_AN_IMAGE, detail)


@pytest.mark.parametrize("name", ["a", "a/x.bin/y", "n" * 5000])
def test_a_name_that_cannot_be_a_files_is_a_rejection(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.bin").write_bytes(b"")
    lost = fetch("k", str(tmp_path), name)
    assert isinstance(lost, Rejection)
    assert lost.reason is Reason.MISSING_FILE


@pytest.mark.usefixtures("failing")
def test_a_storage_that_fails_is_asked_again() -> None:
    FailingFileSystem.failures = ATTEMPTS - 1
    assert fetch("k", "failing://bucket", "x.bin", first_delay_seconds=0.0) == b"0123456789"


@pytest.mark.usefixtures("failing")
def test_a_storage_that_goes_on_failing_is_an_error() -> None:
    FailingFileSystem.failures = ATTEMPTS
    with pytest.raises(
        SourceError,
        match=r"failing://bucket/x\.bin must be readable, got RuntimeError: 503 slow down; fix the storage",
    ):
        fetch("k", "failing://bucket", "x.bin", first_delay_seconds=0.0)


def test_a_url_without_driver_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match="nosuch://b must be a local path or a URL that fsspec can open, got Protocol"
    ):
        fetch("k", "nosuch://b", "x.bin")


def test_a_scene_is_drawn() -> None:
    drawn = fetch("k", "", "scene:0/1/96x80")
    assert isinstance(drawn, bytes)
    assert Image.open(io.BytesIO(drawn)).size == (96, 80)
