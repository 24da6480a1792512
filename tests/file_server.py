"""A web server on the loopback address that serves a few files, and breaks off, refuses or lies where its path says so.

    /file            the file                       /drops/file     half of it the first time
    /norange/file    whole, whatever is asked for   /stalls/file    half of it, and then nothing
    /nolength/file   without its length             /page/file      a web page in its place
    /nohead/file     no answer to HEAD              /busy/file      503 the first two times
    /wrong/file      backwards                      /mute/file      no answer
    /vast/file       said to be a petabyte long     /missing/file   404

What stands before the last slash adds up: /drops-norange/file.
"""

import http.server
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PAGE = b"<!doctype html><title>Welcome</title><p>Accept our terms to use this network."


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` by their names; `requests` holds (path, Range header) of each GET."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files = files
        self.requests: list[tuple[str, str | None]] = []
        self.hits: Counter[str] = Counter()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of the play."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Answers(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the test's output."""

    @property
    def ways(self) -> list[str]:
        return self.path.rpartition("/")[0].lstrip("/").split("-")

    @property
    def body(self) -> bytes | None:
        content = None if "missing" in self.ways else self.server.files.get(self.path.rpartition("/")[2])
        return content[::-1] if content is not None and "wrong" in self.ways else content

    def do_HEAD(self) -> None:
        body = self.body
        if "nohead" in self.ways:
            self.send_error(501)
        elif body is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_type_and_length(PAGE if "page" in self.ways else body, 0)
            self.end_headers()

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        self.server.hits[self.path] += 1
        times, body = self.server.hits[self.path], self.body
        if body is None:
            self.send_error(404)
        elif "mute" in self.ways:
            self.close_connection = True
        elif "busy" in self.ways and times < 3:
            self.send_error(503)
        elif "page" in self.ways:
            self.send_response(200)
            self.send_type_and_length(PAGE, 0)
            self.end_headers()
            self.wfile.write(PAGE)
        else:
            self.send_body(body, asked, drop="stalls" in self.ways or ("drops" in self.ways and times == 1))

    def send_body(self, body: bytes, asked: str | None, drop: bool) -> None:
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and "norange" not in self.ways else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_type_and_length(body, start)
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if drop else rest)
        if "stalls" in self.ways:
            self.connection.recv(1)  # until the client goes away

    def send_type_and_length(self, body: bytes, start: int) -> None:
        self.send_header("Content-Type", "text/html; charset=utf-8" if body == PAGE else "application/octet-stream")
        if "nolength" not in self.ways:
            announced = 10**15 if "vast" in self.ways else len(body)
            self.send_header("Content-Length", str(announced - start))


@contextmanager
def serve_files(files: Mapping[str, bytes]) -> Iterator[FileServer]:
    """Serve from a thread while the block runs."""
    with FileServer(files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
