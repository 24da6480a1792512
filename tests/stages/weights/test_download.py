"""Downloads against a local server that drops connections, ignores Range, refuses, and sends the wrong file."""

import hashlib
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages.errors import WeightsError
from stages.weights.download import download, file_sha256, why_unreachable

BODY = bytes(range(256)) * 8192
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves BODY at every path; the path says what goes wrong on the way. `requests` holds (path, Range header)."""

    daemon_threads = True
    requests: list[tuple[str, str | None]]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Answers(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the test's output."""

    def do_HEAD(self) -> None:
        self.send_response(404 if "missing" in self.path else 200)
        self.end_headers()

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        times = len(self.server.requests)
        if "missing" in self.path:
            self.send_error(404)
        elif "mute" in self.path:
            self.close_connection = True
        elif "busy" in self.path and times < 3:
            self.send_error(503)
        else:
            self._send_body(asked, drop="drops" in self.path and times == 1)

    def _send_body(self, asked: str | None, drop: bool) -> None:
        body = BODY[::-1] if "wrong" in self.path else BODY
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and "norange" not in self.path else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if "nolength" not in self.path:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if drop else rest)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answers) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_url() -> str:
    """A local address at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/file"


def partial_of(destination: Path) -> Path:
    return destination.with_name(destination.name + ".partial")


def test_a_complete_download_leaves_the_file_and_nothing_else(server: Server, tmp_path: Path) -> None:
    destination = tmp_path / "deep" / "file.pth"
    download(server.url("file"), destination, sha256=SHA256, size_bytes=len(BODY))
    assert destination.read_bytes() == BODY
    assert list(destination.parent.iterdir()) == [destination]


def test_the_first_digits_of_the_hash_are_enough(server: Server, tmp_path: Path) -> None:
    download(server.url("file"), tmp_path / "file", sha256=SHA256[:8])
    assert (tmp_path / "file").read_bytes() == BODY


def test_progress_ends_at_the_whole_size(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(
        server.url("file"),
        tmp_path / "file",
        sha256=SHA256,
        progress=lambda received, total: seen.append((received, total)),
    )
    assert seen[-1] == (len(BODY), len(BODY))
    assert [received for received, _ in seen] == sorted(received for received, _ in seen)


def test_a_dropped_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    download(server.url("drops"), tmp_path / "file", sha256=SHA256, first_pause_seconds=0.001)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.requests == [("/drops", None), ("/drops", f"bytes={len(BODY) // 2}-")]


def test_a_server_that_ignores_range_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    download(server.url("drops-norange"), tmp_path / "file", sha256=SHA256, first_pause_seconds=0.001)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_server_that_tells_no_length_is_read_to_the_end(server: Server, tmp_path: Path) -> None:
    download(server.url("nolength"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY


def test_the_part_of_a_killed_process_is_continued(server: Server, tmp_path: Path) -> None:
    partial_of(tmp_path / "file").write_bytes(BODY[:1000])
    download(server.url("file"), tmp_path / "file", sha256=SHA256)
    assert server.requests == [("/file", "bytes=1000-")]
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_part_that_is_complete_already_is_only_checked(server: Server, tmp_path: Path) -> None:
    partial_of(tmp_path / "file").write_bytes(BODY)
    download(server.url("file"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_part_that_is_too_long_is_started_anew(server: Server, tmp_path: Path) -> None:
    partial_of(tmp_path / "file").write_bytes(BODY + b"more")
    download(server.url("file"), tmp_path / "file", sha256=SHA256, first_pause_seconds=0.001)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    download(server.url("busy"), tmp_path / "file", sha256=SHA256, first_pause_seconds=0.001)
    assert len(server.requests) == 3


def test_a_server_that_never_answers_is_given_up_after_five_attempts(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match="must be reachable, got Remote end closed connection without response; check"
    ):
        download(server.url("mute"), tmp_path / "file", sha256=SHA256, first_pause_seconds=0.001)
    assert len(server.requests) == 5


def test_a_refused_connection_is_given_up_at_once(closed_url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        download(closed_url, tmp_path / "file", sha256=SHA256, first_pause_seconds=60.0)
    assert str(caught.value) == (
        f"{closed_url} must be reachable, got Connection refused; check the network or the proxy and try again,"
        f" or put the file at {tmp_path / 'file'}"
    )


def test_a_missing_file_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"/missing must be a file, got HTTP 404 Not Found; the publisher has moved it"
    ):
        download(server.url("missing"), tmp_path / "file", sha256=SHA256)
    assert len(server.requests) == 1


def test_a_wrong_body_is_deleted_and_named(server: Server, tmp_path: Path) -> None:
    wrong = hashlib.sha256(BODY[::-1]).hexdigest()
    with pytest.raises(WeightsError) as caught:
        download(server.url("wrong"), tmp_path / "file", sha256=SHA256)
    assert str(caught.value) == (
        f"{server.url('wrong')} must have sha256 {SHA256}, got {wrong} in {len(BODY)} bytes; the download was deleted:"
        " try again, and if it stays so the publisher has replaced the file"
    )
    assert not partial_of(tmp_path / "file").exists()
    assert not (tmp_path / "file").exists()


def test_a_wrong_size_is_refused_before_the_transfer(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"must be 5 bytes long, got {len(BODY)}; a proxy answers in its place"):
        download(server.url("file"), tmp_path / "file", sha256=SHA256, size_bytes=5)
    assert not partial_of(tmp_path / "file").exists()


def test_two_who_want_the_same_file_download_it_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        wanted = [
            threads.submit(download, server.url("file"), tmp_path / "file", sha256=SHA256, size_bytes=len(BODY))
            for _ in range(2)
        ]
        for future in wanted:
            future.result()
    assert len(server.requests) == 1


def test_a_directory_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"taken/file must be writable, got .*; make room there or choose another"):
        download(server.url("file"), tmp_path / "taken" / "file", sha256=SHA256)


def test_a_file_is_read_again_only_after_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    status = path.stat()
    assert file_sha256(path) == hashlib.sha256(b"first").hexdigest()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_sha256(path) == hashlib.sha256(b"first").hexdigest()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert file_sha256(path) == hashlib.sha256(b"other").hexdigest()


def test_any_answer_shows_that_a_server_is_reachable(server: Server) -> None:
    assert why_unreachable(server.url("missing")) is None


def test_a_closed_port_is_unreachable(closed_url: str) -> None:
    assert why_unreachable(closed_url) == "Connection refused"
