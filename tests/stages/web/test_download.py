"""Downloads from a local server that drops connections, ignores Range, refuses, and sends the wrong file."""

import hashlib
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.errors import WeightsError
from stages.web.download import WebFile, announced_bytes, download, why_unreachable
from stages.web.progress import Progress
from tests.file_server import FileServer, serve_files

BODY = bytes(range(256)) * 8192
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files({"file": BODY}) as server:
        yield server


def wanted(url: str, destination: Path, sha256: str = SHA256, size_bytes: int | None = None) -> WebFile:
    return WebFile(url, destination, WeightsError, "--weights-dir", sha256, size_bytes)


@pytest.fixture
def closed_url() -> str:
    """A local address at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/file"


def partial_of(destination: Path) -> Path:
    return destination.with_name(destination.name + ".partial")


def test_a_complete_download_leaves_the_file_and_nothing_else(server: FileServer, tmp_path: Path) -> None:
    destination = tmp_path / "deep" / "file.pth"
    download(wanted(server.url("file"), destination, size_bytes=len(BODY)))
    assert destination.read_bytes() == BODY
    assert list(destination.parent.iterdir()) == [destination]


def test_the_first_digits_of_the_hash_are_enough(server: FileServer, tmp_path: Path) -> None:
    download(wanted(server.url("file"), tmp_path / "file", SHA256[:8]))
    assert (tmp_path / "file").read_bytes() == BODY


def test_progress_ends_at_the_whole_size(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    labels: list[str] = []

    @contextmanager
    def show(label: str) -> Iterator[Progress]:
        labels.append(label)
        yield lambda received, total: seen.append((received, total))

    download(wanted(server.url("file"), tmp_path / "file"), show)
    assert labels == ["file", "checking file"]
    received, checked = seen[:-3], seen[-3:]  # the hash is made in pieces of a megabyte
    for part in (received, checked):
        assert part[-1] == (len(BODY), len(BODY))
        assert part == sorted(part)


def test_a_dropped_connection_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    download(wanted(server.url("drops/file"), tmp_path / "file"), first_pause_seconds=0.001)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.requests == [("/drops/file", None), ("/drops/file", f"bytes={len(BODY) // 2}-")]


def test_a_server_that_ignores_range_is_read_from_the_start(server: FileServer, tmp_path: Path) -> None:
    download(wanted(server.url("drops-norange/file"), tmp_path / "file"), first_pause_seconds=0.001)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_server_that_tells_no_length_is_read_to_the_end(server: FileServer, tmp_path: Path) -> None:
    download(wanted(server.url("nolength/file"), tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == BODY


def test_the_part_of_a_killed_process_is_continued(server: FileServer, tmp_path: Path) -> None:
    partial_of(tmp_path / "file").write_bytes(BODY[:1000])
    download(wanted(server.url("file"), tmp_path / "file"))
    assert server.requests == [("/file", "bytes=1000-")]
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_part_that_is_complete_already_is_only_checked(server: FileServer, tmp_path: Path) -> None:
    partial_of(tmp_path / "file").write_bytes(BODY)
    download(wanted(server.url("file"), tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_part_that_is_too_long_is_started_anew(server: FileServer, tmp_path: Path) -> None:
    partial_of(tmp_path / "file").write_bytes(BODY + b"more")
    download(wanted(server.url("file"), tmp_path / "file"), first_pause_seconds=0.001)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_busy_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    download(wanted(server.url("busy/file"), tmp_path / "file"), first_pause_seconds=0.001)
    assert len(server.requests) == 3


def test_a_server_that_never_answers_is_given_up_after_five_attempts(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match="must be reachable, got Remote end closed connection without response; check"
    ):
        download(wanted(server.url("mute/file"), tmp_path / "file"), first_pause_seconds=0.001)
    assert len(server.requests) == 5


def test_a_refused_connection_is_given_up_at_once(closed_url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        download(wanted(closed_url, tmp_path / "file"), first_pause_seconds=60.0)
    assert str(caught.value) == (
        f"{closed_url} must be reachable, got Connection refused; check the network or the proxy and try again,"
        f" or put the file at {tmp_path / 'file'}"
    )


def test_a_missing_file_is_not_asked_for_twice(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError,
        match=r"/missing/file must be a file, got HTTP 404 Not Found; the publisher has moved it .* put it at /",
    ):
        download(wanted(server.url("missing/file"), tmp_path / "file"))
    assert len(server.requests) == 1


def test_a_wrong_body_is_deleted_and_named(server: FileServer, tmp_path: Path) -> None:
    wrong = hashlib.sha256(BODY[::-1]).hexdigest()
    with pytest.raises(WeightsError) as caught:
        download(wanted(server.url("wrong/file"), tmp_path / "file"))
    assert str(caught.value) == (
        f"{server.url('wrong/file')} must have sha256 {SHA256}, got {wrong} in {len(BODY)} bytes; the download was"
        " deleted: try again; if that does not help, the publisher has replaced the file"
    )
    assert not partial_of(tmp_path / "file").exists()
    assert not (tmp_path / "file").exists()


def test_a_wrong_size_is_refused_before_the_transfer(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"must be 5 bytes long, got {len(BODY)}; a proxy answers in its place"):
        download(wanted(server.url("file"), tmp_path / "file", size_bytes=5))
    assert not partial_of(tmp_path / "file").exists()


def test_two_who_want_the_same_file_download_it_once(server: FileServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        file = wanted(server.url("file"), tmp_path / "file", size_bytes=len(BODY))
        for future in [threads.submit(download, file) for _ in range(2)]:
            future.result()
    assert len(server.requests) == 1


def test_a_directory_that_cannot_be_made_is_named(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"taken/file must be writable, got .*; make room there or choose another"):
        download(wanted(server.url("file"), tmp_path / "taken" / "file"))


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond a million bytes: what a full disk does to a program, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_what_has_arrived_stays(server: FileServer, tmp_path: Path, small_disk: None) -> None:
    with pytest.raises(WeightsError, match=r"/file must be writable, got File too large; make room there or choose"):
        download(wanted(server.url("file"), tmp_path / "file"))
    assert partial_of(tmp_path / "file").read_bytes() == BODY[:1_000_000]


def test_a_web_page_in_place_of_the_rest_is_refused_and_what_has_arrived_stays(
    server: FileServer, tmp_path: Path
) -> None:
    partial_of(tmp_path / "file").write_bytes(BODY[:1000])
    with pytest.raises(WeightsError, match=r"/page/file must be a file, got a web page; a proxy or a login answers"):
        download(wanted(server.url("page/file"), tmp_path / "file"))
    assert partial_of(tmp_path / "file").read_bytes() == BODY[:1000]


def test_a_file_without_a_published_hash_is_taken_as_it_comes(server: FileServer, tmp_path: Path) -> None:
    download(wanted(server.url("wrong/file"), tmp_path / "file", sha256=""))
    assert (tmp_path / "file").read_bytes() == BODY[::-1]


def test_a_server_says_how_long_a_file_is_before_it_is_fetched(server: FileServer, tmp_path: Path) -> None:
    lengths = [
        announced_bytes(wanted(server.url(path), tmp_path / "file"))
        for path in ("file", "nolength/file", "nohead/file")
    ]
    assert lengths == [len(BODY), None, None]
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/file", "must be a file, got HTTP 404 Not Found"),
        ("page/file", "must be a file, got a web page"),
        ("file", f"must be 5 bytes long, got {len(BODY)}"),
    ],
)
def test_what_is_not_the_file_shows_before_it_is_fetched(
    server: FileServer, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        announced_bytes(wanted(server.url(path), tmp_path / "file", size_bytes=5))


def test_a_dead_server_shows_before_anything_is_fetched(closed_url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="must be reachable, got Connection refused; check the network"):
        announced_bytes(wanted(closed_url, tmp_path / "file"))


def test_any_answer_shows_that_a_server_is_reachable(server: FileServer) -> None:
    assert why_unreachable(server.url("missing/file")) is None


def test_a_closed_port_is_unreachable(closed_url: str) -> None:
    assert why_unreachable(closed_url) == "Connection refused"
