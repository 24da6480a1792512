"""A second look at an answer that aiohttp cannot read: behind proxies some send Content-Length twice, alike.

    URL of the answer ──one GET, guarded address──> head ──one length, however often──> body

RFC 9110 (8.6) lets a recipient take lengths that are all the same for one, and browsers do. Whatever else is odd about
the answer stays what it was: nothing.
"""

import asyncio
import http.client
import io
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

from aiohttp.abc import AbstractResolver
from yarl import URL

from stages.web.addresses import AddressGuard
from stages.web.config import FetchConfig

LONGEST_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RepeatedLength:
    """An answer of status 200 whose lengths agree."""

    headers: Message
    length: int
    body: bytes
    """Of at most one byte more than the largest size."""


async def get_with_repeated_length(
    url: URL, headers: Mapping[str, str], config: FetchConfig, resolver: AbstractResolver, guard: AddressGuard
) -> RepeatedLength | None:
    """Ask once for a URL, without following redirects; None if the answer has not one length that is said repeatedly.

    An address that the guard refuses, a failure and a server that is too slow give None as well.
    """
    try:
        async with asyncio.timeout(config.total_seconds):
            return await _ask(url, headers, config.max_bytes, resolver, guard)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, http.client.HTTPException):
        return None  # TimeoutError is an OSError


async def _ask(
    url: URL, headers: Mapping[str, str], most_bytes: int, resolver: AbstractResolver, guard: AddressGuard
) -> RepeatedLength | None:
    host, port = url.raw_host or "", url.port or 80
    found = (await resolver.resolve(host, port, socket.AF_UNSPEC))[0]
    connection = guard.make_socket(
        (found["family"], socket.SOCK_STREAM, found["proto"], "", (found["host"], found["port"]))
    )
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (found["host"], found["port"]))
        tls = True if url.scheme == "https" else None
        reader, writer = await asyncio.open_connection(
            sock=connection, limit=LONGEST_HEAD_BYTES, ssl=tls, server_hostname=host if tls else None
        )
    except BaseException:
        connection.close()
        raise
    try:
        lines = [f"GET {url.raw_path_qs} HTTP/1.1", f"Host: {url.raw_authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        head = await reader.readuntil(b"\r\n\r\n")
        status_line, _, rest = head.partition(b"\r\n")
        said = http.client.parse_headers(io.BytesIO(rest))
        lengths = [each.strip() for value in said.get_all("Content-Length", []) for each in value.split(",")]
        is_good = status_line.startswith(b"HTTP/1.") and status_line.split()[1:2] == [b"200"]
        if not is_good or "Transfer-Encoding" in said or len(lengths) < 2 or len({*lengths}) > 1:
            return None
        length = int(lengths[0]) if lengths[0].isascii() and lengths[0].isdigit() else -1
        if length < 0:
            return None
        return RepeatedLength(said, length, await reader.readexactly(min(length, most_bytes + 1)))
    finally:
        writer.close()
