"""One attempt to fetch one URL with aiohttp: the bytes, or why there are none. The module that knows aiohttp.

    URL, as published ──redirects, guarded addresses──> answer ──status, robots──> body ──size cap──> bytes | Failure

The invariant: what comes out depends on what this URL's server did, not on time, order or other URLs. A connection
serves one URL: bytes that a server sends beyond its Content-Length would be taken for the answer to the next one.
"""

import errno
import os
import socket
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from stages.errors import SourceError
from stages.image.decode import has_image_signature
from stages.records import Reason
from stages.web.addresses import AddressGuard, RefusedAddress, parse_networks
from stages.web.config import FetchConfig
from stages.web.headers import find_opt_out, parse_retry_after
from stages.web.repeated_length import get_with_repeated_length

ROBOT = "condset"
"""The name by which an X-Robots-Tag may address us alone."""

OUR_OWN_LACK = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Failures to connect that are this machine's and no property of a URL."""

LONGEST_HEADER_BYTES = 1 << 16
"""Of an answer; some sites send ten kilobytes of policies."""

LEGAL = "%!$&'()*+,/:;=?@~[]|"
"""In a path or a query, besides letters, digits and "_.-": what servers take as it is."""

STATUS_REASONS = {404: Reason.HTTP_404, 410: Reason.HTTP_410, 429: Reason.HTTP_429}
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
BARE_DEFLATE = -zlib.MAX_WBITS
"""What some servers send as deflate, without zlib's header."""
GZIP_SIGNATURE = b"\x1f\x8b"
ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt brought no bytes."""

    reason: Reason
    detail: str
    may_pass: bool = False
    """Another attempt may bring them."""
    wait_seconds: float = 0.0
    """What the server asked to wait before it."""


class GuardedResolver(aiohttp.ThreadedResolver):
    """The system's resolver, without the addresses that must not be connected to."""

    def __init__(self, guard: AddressGuard) -> None:
        super().__init__()
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Find the addresses of a host; RefusedAddress if there are some and none is allowed."""
        found = await super().resolve(host, port, family)
        allowed = [each for each in found if self._guard.allows(each["host"])]
        if found and not allowed:
            raise RefusedAddress(min(each["host"] for each in found))
        return allowed


def open_session(config: FetchConfig) -> aiohttp.ClientSession:
    """Make the session of one shard: no cookies, no reuse of connections, a guard at every socket but a proxy's."""
    guard = AddressGuard(parse_networks(config.allow_private_hosts))
    connector = aiohttp.TCPConnector(
        limit=0,  # `urls` limits them: waiting here for a free one would count as time to connect
        force_close=True,
        resolver=None if config.proxy else GuardedResolver(guard),
        socket_factory=None if config.proxy else guard.make_socket,
    )
    about = f" (+{config.contact})" if config.contact else ""
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(
            total=config.total_seconds, connect=config.connect_seconds, sock_read=config.read_seconds
        ),
        headers={
            "User-Agent": f"{ROBOT}/{version('condset')}{about}",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=config.proxy or None,
        middlewares=[_send_once],
        auto_decompress=False,
        requote_redirect_url=False,
        max_line_size=LONGEST_HEADER_BYTES,
        max_field_size=LONGEST_HEADER_BYTES,
    )


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request, or what a redirect made of it, once: when its connection breaks off, aiohttp would try again."""
    request.url = legal(request.url)
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


def as_published(url: str) -> URL:
    """Take a URL apart without rewriting its path and query: servers sign them, or name files by their escapes.

    Raises ValueError if it is none, or has no host.
    """
    named, parts = URL(url), urlsplit(url)  # the one writes the host as DNS knows it, the other changes nothing
    return _leading_to(named, parts.path, parts.query)


def legal(url: URL) -> URL:
    """Escape what no request may hold, as browsers do: white space, quotes, what is not ASCII."""
    path, query = (quote(part, LEGAL, errors="surrogateescape") for part in (url.raw_path, url.raw_query_string))
    return _leading_to(url, path, query)


def _leading_to(host: URL, path: str, query: str) -> URL:
    """Another URL of the same host, whose path and query are written as they are given."""
    return URL.build(scheme=host.scheme, authority=host.raw_authority, path=path, query_string=query, encoded=True)


async def get(session: aiohttp.ClientSession, url: str, config: FetchConfig) -> bytes | Failure:
    """Fetch one URL, following redirects.

    Raises SourceError if this machine cannot open another connection.
    """
    host = url.split("/", 3)[2].rpartition("@")[2]
    try:
        with _own_lacks_raised():
            async with session.get(as_published(url), max_redirects=config.max_redirects + 1) as answer:
                return _refused(answer, config) or await _receive(answer, config)
    except TimeoutError:
        limits = f"{config.connect_seconds:g} s, pause at most {config.read_seconds:g} s and end in "
        detail = f"server must connect in {limits}{config.total_seconds:g} s, got slower"
        return Failure(Reason.TIMEOUT, detail, may_pass=True)
    except aiohttp.ClientHttpProxyError as error:
        return Failure(Reason.CONNECT, f"fetch.proxy must connect to {host}, got status {error.status}", may_pass=True)
    except aiohttp.ClientConnectorError as error:
        return _not_connected(error)
    except aiohttp.TooManyRedirects:
        return Failure(
            Reason.TOO_MANY_REDIRECTS, f"URL must lead to a file in {config.max_redirects} redirects, got more"
        )
    except aiohttp.RedirectClientError as error:
        return Failure(Reason.INVALID_URL, f"redirect must lead to a http or https URL, got {str(error)[:200]!r}")
    except ValueError:
        return Failure(Reason.INVALID_URL, f"URL must be one of http or https with a host, got {url[:200]!r}")
    except aiohttp.ClientResponseError as error:
        content = None if config.proxy else await _look_again(error.request_info.real_url, session.headers, config)
        nothing = Failure(Reason.BAD_RESPONSE, f"{host} must answer in HTTP, got something else", may_pass=True)
        return content or nothing
    except aiohttp.ClientConnectionError:
        return Failure(Reason.CONNECT, f"{host} must answer, got a connection that broke off", may_pass=True)


async def _look_again(url: URL, headers: Mapping[str, str], config: FetchConfig) -> bytes | Failure | None:
    """Fetch an answer that aiohttp does not read because it says its length twice; None if that is not the reason."""
    guard = AddressGuard(parse_networks(config.allow_private_hosts))
    answer = await get_with_repeated_length(url, headers, config, GuardedResolver(guard), guard)
    if answer is None:
        return None
    if answer.length > config.max_bytes:
        return _too_large(config)
    tags = answer.headers.get_all("X-Robots-Tag", [])
    return _opted_out(tags, config) or _content(answer.body, answer.headers.get_all("Content-Encoding", []), config)


@contextmanager
def _own_lacks_raised() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # A machine without IPv6 has no address to reach an IPv6 address from; that is no lack of ports.
        to_ipv6 = isinstance(error, aiohttp.ClientConnectorError) and ":" in error.host
        if error.errno not in OUR_OWN_LACK or (error.errno == errno.EADDRNOTAVAIL and to_ipv6):
            raise
        raise SourceError(
            f"this machine must be able to open another connection, got {os.strerror(error.errno)}; lower "
            "fetch.concurrency or raise its limits"
        ) from error


def _refused(answer: aiohttp.ClientResponse, config: FetchConfig) -> Failure | None:
    """Judge an answer by its head; None if its body is wanted."""
    status = answer.status
    if 200 <= status < 300:
        if refusal := _opted_out(answer.headers.getall("X-Robots-Tag", []), config):
            return refusal
        if answer.content_length is not None and answer.content_length > config.max_bytes:
            return _too_large(config)
        return None
    detail = f"server must answer with status 200, got {status}"
    wait_seconds = parse_retry_after(answer.headers.get("Retry-After", ""), time.time()) or 0.0
    if 500 <= status < 600:
        return Failure(Reason.HTTP_5XX, detail, may_pass=True, wait_seconds=wait_seconds)
    if status == 429:
        return Failure(Reason.HTTP_429, detail, may_pass=True, wait_seconds=wait_seconds)
    if 400 <= status < 500:
        return Failure(STATUS_REASONS.get(status, Reason.HTTP_4XX), detail)
    return Failure(Reason.BAD_RESPONSE, detail)


def _opted_out(tags: Sequence[str], config: FetchConfig) -> Failure | None:
    opt_out = find_opt_out(tags, ROBOT) if config.respect_robots else ""
    if not opt_out:
        return None
    return Failure(Reason.OPTED_OUT, f"server must allow use of the image, got X-Robots-Tag {opt_out}")


async def _receive(answer: aiohttp.ClientResponse, config: FetchConfig) -> bytes | Failure:
    """Read the body, no further than the largest size, and take off a content encoding."""
    body = bytearray()
    try:
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > config.max_bytes:
                return _too_large(config)
    except TimeoutError:
        raise
    except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError):
        detail = "body must arrive whole, got a connection that broke off"
        return Failure(Reason.TRUNCATED, detail, may_pass=True)
    return _content(bytes(body), answer.headers.getall("Content-Encoding", []), config)


def _content(body: bytes, encodings: Sequence[str], config: FetchConfig) -> bytes | Failure:
    """Take the encodings off a body that its header names."""
    names = {name for each in ",".join(encodings).split(",") if (name := each.strip().lower()) not in ("identity", "")}
    if not names or has_image_signature(body):  # some servers name an encoding and send the file as it is
        return body
    return _decoded(body, names, config)


def _decoded(body: bytes, encodings: set[str], config: FetchConfig) -> bytes | Failure:
    """Undo an encoding that we did not ask for; no more is unpacked than the largest size."""
    if encodings <= ENCODINGS and len(encodings) == 1:
        for window_bits in (GZIP_OR_ZLIB, BARE_DEFLATE):
            content = _unpacked(body, window_bits, config.max_bytes)
            if content is not None:
                return content if len(content) <= config.max_bytes else _too_large(config)
    named = ", ".join(sorted(encodings))[:100]
    return Failure(Reason.BAD_RESPONSE, f"body must be plain or whole gzip or deflate, got {named!r}")


def _unpacked(body: bytes, window_bits: int, most_bytes: int) -> bytes | None:
    """Unpack the members of a body, one after the other, to at most one byte more than `most_bytes`; None if broken."""
    content, rest = b"", body
    while True:
        decoder = zlib.decompressobj(window_bits)
        try:
            content += decoder.decompress(rest, most_bytes + 1 - len(content))
        except zlib.error:
            return None
        if len(content) > most_bytes:
            return content
        if not decoder.eof:
            return None
        rest = decoder.unused_data
        if not rest.startswith(GZIP_SIGNATURE):
            return content


def _too_large(config: FetchConfig) -> Failure:
    return Failure(Reason.TOO_LARGE, f"file must have at most {config.max_bytes} bytes, got more")


def _not_connected(error: aiohttp.ClientConnectorError) -> Failure:
    """Tell why there is no connection: no such name, a refused address, no server there, or no valid certificate."""
    cause, host = error.os_error, error.host
    if isinstance(cause, RefusedAddress):
        detail = f"{host} must have a public address, got {cause}; fetch.allow_private_hosts lists exceptions"
        return Failure(Reason.REFUSED_ADDRESS, detail)
    if isinstance(cause, socket.gaierror):
        may_pass = cause.errno == socket.EAI_AGAIN
        return Failure(Reason.DNS, f"{host} must have an address, got {cause.strerror}", may_pass)
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure(Reason.CONNECT, f"{host} must agree on TLS with a valid certificate, got none")
    said = os.strerror(cause.errno) if cause.errno else "several failures"
    return Failure(Reason.CONNECT, f"{host} must accept a connection, got {said}", may_pass=True)
