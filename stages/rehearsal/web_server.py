"""A web server on this machine that fails as the web does, in ways drawn from a seed: for tests of what fetches.

    with FaultServer({"photo.jpg": content}, seed=7) as server:
        server.url("photo.jpg")        # its first answers are faults, the later ones the file

    busy      503 and nothing else                 half      half of the file, and a connection that is cut
    reset     RST in place of an answer            silence   nothing at all, for as long as the client waits

The first `faults` requests for a file get each a fault that is drawn from (seed, name, number of the request), and
every later one the file: whoever asks often enough loses nothing. HEAD and ranges are answered as well; a request for a
name that is not there is 404 from the start. With `faults=None` a file is never brought.
"""

import http.server
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import ClassVar

from stages.randomness import pick, random_for

LONGEST_SILENCE_SECONDS = 60.0


class Fault(StrEnum):
    """What the server does in place of an answer."""

    BUSY = "busy"
    RESET = "reset"
    HALF = "half"
    SILENCE = "silence"


class FaultServer:
    """Serves files from threads while the `with` block runs."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        seed: int = 0,
        faults: int | None = 2,
        kinds: tuple[Fault, ...] = tuple(Fault),
    ) -> None:
        """Take the files by their names, how many faults each begins with (None: nothing else), and of which kinds."""
        self._files, self._seed, self._faults, self._kinds = files, seed, faults, kinds
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.faults: Counter[Fault] = Counter()
        """So far, by kind."""
        self.over = threading.Event()
        """Set when the server ends: nobody is silent any more."""
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="faults"
        )

    @property
    def host(self) -> str:
        """Its address, which a fetching test has to allow: it is not public."""
        return "127.0.0.1"

    def url(self, name: str) -> str:
        return f"http://{self.host}:{self._server.server_address[1]}/{name}"

    def content(self, name: str) -> bytes | None:
        return self._files.get(name)

    def draw(self, name: str) -> Fault | None:
        """What the next request for a file gets; None is the file."""
        with self._lock:
            self._asked[name] += 1
            number = self._asked[name]
            if self._faults is not None and number > self._faults:
                return None
            fault = pick(random_for(self._seed, f"fault {number}", name), self._kinds)
            self.faults[fault] += 1
            return fault

    def __enter__(self) -> "FaultServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, owner: FaultServer) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.owner = owner

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of the play."""


class _Answer(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = LONGEST_SILENCE_SECONDS  # of a connection that is kept open

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        name = self.path.lstrip("/")
        content = self.server.owner.content(name)
        if content is None:
            self._send(404, b"", with_body)
            return
        match self.server.owner.draw(name):
            case None:
                self._send_range(content, with_body)
            case Fault.BUSY:
                self._send(503, b"", with_body)
            case Fault.HALF:
                self._head(200, len(content))
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            case Fault.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case Fault.SILENCE:
                self.server.owner.over.wait(LONGEST_SILENCE_SECONDS)
                self.close_connection = True

    def _send_range(self, content: bytes, with_body: bool) -> None:
        start, separator, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if not separator or not start.isdecimal():
            self._send(200, content, with_body)
            return
        stop = min(int(end) + 1 if end else len(content), len(content))
        if int(start) >= stop:
            self._send(416, b"", with_body)
            return
        piece = content[int(start) : stop]
        self._head(206, len(piece), ("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}"))
        if with_body:
            self.wfile.write(piece)

    def _send(self, status: int, body: bytes, with_body: bool) -> None:
        self._head(status, len(body))
        if with_body:
            self.wfile.write(body)

    def _head(self, status: int, length: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(length)), ("Accept-Ranges", "bytes"), *headers):
            self.send_header(name, value)
        self.end_headers()
