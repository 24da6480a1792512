"""Bodies that servers encode, or say that they do: a photograph that is there comes out."""

import asyncio
import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from yarl import URL

from stages.records import Reason, Rejection
from stages.sources.synthetic.source import render
from stages.web.addresses import AddressGuard
from stages.web.client import GuardedResolver
from stages.web.config import FetchConfig, proxy_note
from stages.web.repeated_length import RepeatedLength, get_with_repeated_length
from stages.web.urls import fetch_urls

PICTURE = render("scene:0/1/96x80")
CONFIG = FetchConfig(retries=0, allow_private_hosts=("127.0.0.1",), total_seconds=5, max_bytes=100_000)


@contextmanager
def serving(answer: Callable[[bytes], bytes], requests: int = 1) -> Iterator[int]:
    """Answer so many requests; `answer` is given the bytes of each. Yields the port."""

    def serve() -> None:
        for _ in range(requests):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer(connection.recv(1 << 16)))

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def fetch(url: str, config: FetchConfig = CONFIG) -> bytes | Rejection:
    return fetch_urls([("key", url)], config, lambda position, fetched: fetched)[0]


def fetch_body(body: bytes, *headers: str) -> bytes | Rejection:
    return fetch_answer(body, *headers, f"Content-Length: {len(body)}")


def fetch_answer(body: bytes, *headers: str, requests: int = 1) -> bytes | Rejection:
    head = "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *headers, ""))
    with serving(lambda request: head.encode() + body, requests) as port:
        return fetch(f"http://127.0.0.1:{port}/1.png")


def _bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PICTURE, ["Content-Encoding: utf-8"]),
        (PICTURE, ["Content-Encoding: br"]),
        (PICTURE, ["Content-Encoding: gzip"]),
        (PICTURE, ["Content-Encoding: none"]),
        (gzip.compress(PICTURE), ["Content-Encoding: gzip", "Content-Encoding: gzip"]),
        (gzip.compress(PICTURE), ["Content-Encoding: gzip, gzip"]),
        (gzip.compress(PICTURE), ["Content-Encoding: identity, GZIP"]),
        (gzip.compress(PICTURE[:99]) + gzip.compress(PICTURE[99:]), ["Content-Encoding: gzip"]),
        (gzip.compress(PICTURE) + b"padding", ["Content-Encoding: x-gzip"]),
        (zlib.compress(PICTURE), ["Content-Encoding: deflate"]),
        (_bare_deflate(PICTURE), ["Content-Encoding: deflate"]),
        (PICTURE, ["Content-Type: image/png", "Content-Type: image/png", "ETag: 1", "ETag: 1"]),
    ],
)
def test_a_photograph_comes_out_of_whatever_encoding_is_named(body: bytes, headers: list[str]) -> None:
    assert fetch_body(body, *headers) == PICTURE


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (gzip.compress(PICTURE)[:-9], "gzip", Reason.BAD_RESPONSE),
        (gzip.compress(PICTURE[:99]) + gzip.compress(PICTURE[99:])[:-9], "gzip", Reason.BAD_RESPONSE),
        (b"", "gzip", Reason.BAD_RESPONSE),
        (b"no picture", "br", Reason.BAD_RESPONSE),
        (gzip.compress(PICTURE), "gzip, br", Reason.BAD_RESPONSE),
        (gzip.compress(bytes(60_000)) * 2, "gzip", Reason.TOO_LARGE),
        (_bare_deflate(bytes(200_000)), "deflate", Reason.TOO_LARGE),
    ],
)
def test_what_cannot_be_unpacked_whole_is_a_rejection(body: bytes, encoding: str, reason: Reason) -> None:
    lost = fetch_body(body, f"Content-Encoding: {encoding}")
    assert isinstance(lost, Rejection)
    assert lost.reason is reason


LENGTH = f"Content-Length: {len(PICTURE)}"


@pytest.mark.parametrize("lengths", [[LENGTH, LENGTH], [f"{LENGTH}, {len(PICTURE)}"], [LENGTH] * 3])
def test_a_length_that_is_said_twice_alike_is_one_length(lengths: list[str]) -> None:
    assert fetch_answer(PICTURE, *lengths, requests=2) == PICTURE
    packed = gzip.compress(PICTURE)
    said = [f"Content-Length: {len(packed)}"] * 2
    assert fetch_answer(packed, *said, "Content-Encoding: gzip", requests=2) == PICTURE


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([LENGTH, "Content-Length: 7"], Reason.BAD_RESPONSE),
        ([LENGTH, LENGTH, "Transfer-Encoding: chunked"], Reason.BAD_RESPONSE),
        (["Content-Length: x", "Content-Length: x"], Reason.BAD_RESPONSE),
        (["Content-Length: 9999", "Content-Length: 9999"], Reason.BAD_RESPONSE),
        (["Content-Length: 999999", "Content-Length: 999999"], Reason.BAD_RESPONSE),
        ([LENGTH, LENGTH, "X-Robots-Tag: noai"], Reason.OPTED_OUT),
    ],
)
def test_lengths_that_are_no_length_are_a_rejection(headers: list[str], reason: Reason) -> None:
    lost = fetch_answer(PICTURE, *headers, requests=2)
    assert isinstance(lost, Rejection)
    assert lost.reason is reason


def test_the_second_look_at_an_answer_is_guarded_as_the_first() -> None:
    async def look(url: URL) -> RepeatedLength | None:
        guard = AddressGuard(())
        return await get_with_repeated_length(url, {}, CONFIG, GuardedResolver(guard), guard)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        assert asyncio.run(look(URL(f"http://127.0.0.1:{listener.getsockname()[1]}/1.png"))) is None
        with pytest.raises(BlockingIOError):  # nobody has called
            listener.accept()


def test_a_proxy_is_asked_for_a_name_that_it_alone_can_look_up() -> None:
    asked = []

    def answer(request: bytes) -> bytes:
        asked.append(request.split(b"\r\n")[0])
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE

    with serving(answer) as port:
        config = FetchConfig(retries=0, proxy=f"http://127.0.0.1:{port}")
        assert fetch("http://nowhere.invalid/1.png", config) == PICTURE
    assert asked == [b"GET http://nowhere.invalid/1.png HTTP/1.1"]


def test_a_proxy_that_refuses_is_named() -> None:
    with serving(lambda request: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port:
        config = FetchConfig(retries=0, proxy=f"http://127.0.0.1:{port}")
        assert fetch("https://nowhere.invalid/1.png", config) == Rejection(
            "key", Reason.CONNECT, "fetch.proxy must connect to nowhere.invalid, got status 403"
        )


def test_what_a_proxy_means_is_said_where_something_is_fetched() -> None:
    proxied = FetchConfig(proxy="http://proxy:3128")
    assert proxy_note(proxied, True, {}) == (
        "fetching through http://proxy:3128: it looks up the names, so addresses that are not public are not refused "
        "here; let it refuse them"
    )
    assert proxy_note(FetchConfig(), True, {"https_proxy": "http://p"}) == (
        "https_proxy is set and not used, since no address could be refused here then; fetch.proxy sets one"
    )
    assert proxy_note(FetchConfig(), True, {}) == proxy_note(proxied, False, {}) == ""
