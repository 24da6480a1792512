"""A web server on loopback addresses that serves photographs and misbehaves in every way that the web does.

    /photo/7   the photograph 7            /drip/7   a byte now and then, for ever
    /reset/7   a reset instead of an answer          ... one way for each first part of the path
    /to?/x     a redirect to /x                      /x      any other path: not found

It listens on 127.0.0.1 and, at the same port, on 127.0.0.2, where nobody may be led to.
"""

import asyncio
import contextlib
import gzip
import math
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from pathlib import Path
from types import TracebackType

from stages.randomness import random_for
from stages.records import Reason

HUGE_BYTES = 200_000_000
PIECE_BYTES = 1 << 16

BROUGHT = frozenset(
    {"photo", "chunked", "unsized", "gzipped", "redirect", "flaky", "busy", "later", "mislabelled", "policies"}
)
"""The ways that end with the photograph."""

REASONS = {
    "missing": Reason.HTTP_404,
    "gone": Reason.HTTP_410,
    "forbidden": Reason.HTTP_4XX,
    "closed": Reason.HTTP_429,
    "down": Reason.HTTP_5XX,
    "denied": Reason.BAD_RESPONSE,
    "garbage": Reason.BAD_RESPONSE,
    "ungzipped": Reason.BAD_RESPONSE,
    "tangled": Reason.BAD_RESPONSE,
    "reset": Reason.CONNECT,
    "hangup": Reason.CONNECT,
    "cut": Reason.TRUNCATED,
    "broken": Reason.TRUNCATED,
    "short": Reason.TRUNCATED,
    "stall": Reason.TIMEOUT,
    "halt": Reason.TIMEOUT,
    "drip": Reason.TIMEOUT,
    "loop": Reason.TOO_MANY_REDIRECTS,
    "inside": Reason.REFUSED_ADDRESS,
    "elsewhere": Reason.INVALID_URL,
    "optout": Reason.OPTED_OUT,
    "huge": Reason.TOO_LARGE,
    "announced": Reason.TOO_LARGE,
    "bomb": Reason.TOO_LARGE,
}
"""What the other ways end with when they are fetched."""

PAGES = {"html": Reason.NOT_AN_IMAGE, "empty": Reason.EMPTY_FILE, "long": Reason.TRUNCATED}
"""Ways that bring bytes, and what ends them when the bytes are decoded."""

HTML = b"<!doctype html><title>Moved</title><p>This photograph has moved." + b" " * 200
BOMB = gzip.compress(bytes(HUGE_BYTES // 10))
STATUS = {"missing": 404, "gone": 410, "forbidden": 403, "denied": 999}


class MisbehavingServer:
    """Serves from a thread while the `with` block runs."""

    def __init__(self, photographs: Sequence[bytes], seed: int = 0, longest_delay_seconds: float = 0.0) -> None:
        """Each answer is delayed by a part of the longest delay that is drawn from (seed, path)."""
        self.photographs = photographs
        self.is_fixed = False
        """If set, every way ends with the photograph."""
        self.hits: Counter[str] = Counter()
        self.paths: list[str] = []
        """Of all requests, in the order in which they came."""
        self._free_at: dict[str, float] = {}
        """When a path that was busy is free, as its first answer said."""
        self.hits_inside = 0
        """Requests that came to 127.0.0.2."""
        self.bytes_sent: Counter[str] = Counter()
        """By way; only of bodies without end."""
        self.open_requests: Counter[str] = Counter()
        """By host of the URL; `most_requests` is the highest that each has been."""
        self.most_requests: Counter[str] = Counter()
        self.user_agents: set[str] = set()
        self.seed, self._longest_delay_seconds = seed, longest_delay_seconds
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="misbehaving")
        self._started = threading.Event()

    def url(self, way: str, number: int = 0, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{way}/{number}"

    def photograph(self, number: int) -> bytes:
        return self.photographs[number % len(self.photographs)]

    def __enter__(self) -> "MisbehavingServer":
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        outside = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port: int = outside.sockets[0].getsockname()[1]
        inside = await asyncio.start_server(self._accept, "127.0.0.2", self.port)
        self._started.set()
        await self._stop.wait()
        for server in (outside, inside):
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away, and the end of the server, are part of the play.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if await reader.readexactly(1) == b"\x16":  # a greeting in TLS
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            else:
                await self._request(reader, writer)
            await writer.drain()
        writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split()[1]
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        host = headers["Host"].partition(":")[0]
        self.user_agents.add(headers["User-Agent"])
        self.hits[path] += 1
        self.paths.append(path)
        self.hits_inside += writer.get_extra_info("sockname")[0] == "127.0.0.2"
        self.open_requests[host] += 1
        self.most_requests[host] = max(self.most_requests[host], self.open_requests[host])
        try:
            await asyncio.sleep(self._longest_delay_seconds * random_for(self.seed, "delay", path).random())
            match path.split("/"):
                case ["", way, number] if number.isdecimal():
                    await self._answer("photo" if self.is_fixed else way, int(number), path, reader, writer)
                case _ if path.startswith("/to?"):
                    writer.write(_head(302, f"Location: {path.removeprefix('/to?')}", "Content-Length: 0"))
                case _:
                    writer.write(_head(404, "Content-Length: 0"))
        finally:
            self.open_requests[host] -= 1

    async def _answer(
        self, way: str, number: int, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        photograph = self.photograph(number)
        sized = f"Content-Length: {len(photograph)}"
        match way:
            case "photo":
                writer.write(_head(200, sized, "Content-Type: image/jpeg") + photograph)
            case "policies":
                writer.write(_head(200, sized, f"Content-Security-Policy: {'img-src x; ' * 2000}") + photograph)
            case "mislabelled":
                writer.write(_head(200, sized, "Content-Type: text/html") + photograph)
            case "chunked":
                writer.write(_head(200, "Transfer-Encoding: chunked"))
                for piece in _pieces(photograph):
                    writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                writer.write(b"0\r\n\r\n")
            case "unsized":
                writer.write(_head(200) + photograph)
            case "gzipped" | "bomb":
                body = BOMB if way == "bomb" else gzip.compress(photograph, 1)
                writer.write(_head(200, "Content-Encoding: gzip", f"Content-Length: {len(body)}") + body)
            case "ungzipped":
                writer.write(_head(200, "Content-Encoding: gzip", sized) + photograph)
            case "tangled":
                writer.write(_head(200, "Content-Encoding: \xff\xfe", sized) + photograph)
            case "redirect" | "loop" | "inside" | "elsewhere":
                places = {"redirect": f"/photo/{number}", "loop": f"/loop/{number + 1}", "elsewhere": "ftp://x/y"}
                place = places.get(way) or self.url("photo", number, "127.0.0.2")
                writer.write(_head(302, f"Location: {place}", "Content-Length: 0"))
            case "flaky" if self.hits[path] > 2:
                writer.write(_head(200, sized) + photograph)
            case "busy" | "later" if time.time() >= self._free_at.get(path, math.inf):
                writer.write(_head(200, sized) + photograph)
            case "flaky" | "down":
                writer.write(_head(503, "Content-Length: 0"))
            case "busy":
                self._free_at.setdefault(path, time.time() + 1)
                writer.write(_head(429, "Retry-After: 1", "Content-Length: 0"))
            case "later":
                moment = self._free_at.setdefault(path, time.time() // 1 + 2)  # a date has whole seconds
                writer.write(_head(503, f"Retry-After: {formatdate(moment, usegmt=True)}", "Content-Length: 0"))
            case "closed":
                writer.write(_head(429, "Retry-After: 3600", "Content-Length: 0"))
            case "missing" | "gone" | "forbidden" | "denied":
                writer.write(_head(STATUS[way], f"Content-Length: {len(HTML)}") + HTML)
            case "html":
                writer.write(_head(200, "Content-Type: text/html", f"Content-Length: {len(HTML)}") + HTML)
            case "empty":
                writer.write(_head(200, "Content-Length: 0"))
            case "optout":
                writer.write(_head(200, sized, "X-Robots-Tag: noai, noimageai") + photograph)
            case "garbage":
                writer.write(b"SSH-2.0-photographs\r\n")
            case "hangup":
                return
            case "cut":
                writer.write(_head(200, "Transfer-Encoding: chunked") + b"ffff\r\n" + photograph[:1000])
            case "short":
                writer.write(_head(200, f"Content-Length: {len(photograph) + 1000}") + photograph)
            case "long":  # too long for a single read, so that the answer is over before what is too much comes
                largest = max(self.photographs, key=len)
                writer.write(_head(200, f"Content-Length: {len(largest) - 5000}") + largest)
            case "broken":
                writer.write(_head(200, sized) + photograph[: len(photograph) // 2])
                await writer.drain()
                _reset(writer)
            case "reset":
                _reset(writer)
            case "stall":
                await reader.read()  # until the client goes away
            case "halt":
                writer.write(_head(200, sized) + photograph[: len(photograph) // 2])
                await reader.read()
            case "drip":
                writer.write(_head(200, sized))
                for byte in photograph:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case "huge" | "announced":
                writer.write(_head(200, *([f"Content-Length: {HUGE_BYTES}"] if way == "announced" else [])))
                for _ in range(HUGE_BYTES // PIECE_BYTES):
                    writer.write(bytes(PIECE_BYTES))
                    await writer.drain()
                    self.bytes_sent[way] += PIECE_BYTES


def load_photographs(shared: Path) -> list[bytes]:
    """The real photographs, in the order of their names."""
    return [path.read_bytes() for path in sorted((shared / "data/coco17").glob("*2017/*.jpg"))]


def _head(status: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Said", *headers, "", ""]).encode("latin-1")


def _pieces(content: bytes) -> Iterator[bytes]:
    return (content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES))


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
