"""One attempt, and what each way of a server to misbehave is called."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stages.errors import SourceError
from stages.records import OUTAGE_REASONS, Reason, Rejection
from stages.web.client import as_published, legal
from stages.web.config import FetchConfig
from stages.web.urls import fetch_urls
from tests.misbehaving_server import BROUGHT, HTML, REASONS, MisbehavingServer

QUICK = FetchConfig(
    connect_seconds=1,
    read_seconds=0.3,
    total_seconds=1.0,
    retries=2,
    first_pause_seconds=0.02,
    longest_pause_seconds=5,
    max_bytes=1_000_000,
    allow_private_hosts=("127.0.0.1",),
)


def fetch(url: str, config: FetchConfig = QUICK) -> bytes | Rejection:
    (fetched,) = fetch_urls([("key", url)], config, lambda position, fetched: fetched)
    return fetched


def rejection(url: str, config: FetchConfig = QUICK) -> Rejection:
    fetched = fetch(url, config)
    assert isinstance(fetched, Rejection)
    assert fetched.key == "key"
    return fetched


def changed(**changes: object) -> FetchConfig:
    return FetchConfig.model_validate(QUICK.model_dump() | changes)


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    noise = np.random.default_rng(0)
    with MisbehavingServer([noise.bytes(400_000), noise.bytes(30_000)]) as serving:
        yield serving


@pytest.mark.parametrize("way", sorted(BROUGHT))
def test_the_photograph_comes_whole_whatever_the_way(server: MisbehavingServer, way: str) -> None:
    for number in range(2):
        assert fetch(server.url(way, number)) == server.photograph(number)


@pytest.mark.parametrize("way", sorted(REASONS))
def test_each_failure_has_its_own_reason_and_the_same_words_every_time(server: MisbehavingServer, way: str) -> None:
    first = rejection(server.url(way, 1), changed(retries=1))
    assert first.reason is REASONS[way]
    assert rejection(server.url(way, 1), changed(retries=1)) == first
    assert " must " in first.detail
    assert ", got " in first.detail
    assert first.detail.encode()  # no half of a character, whatever the server sent: it goes into the record


@pytest.mark.parametrize(
    ("way", "attempts"),
    [("down", 3), ("reset", 3), ("cut", 3), ("stall", 3), ("garbage", 6), ("missing", 1), ("closed", 1)],
)
def test_what_may_pass_is_tried_again_and_what_will_not_is_not(
    server: MisbehavingServer, way: str, attempts: int
) -> None:
    """An answer that cannot be read is looked at twice in each attempt."""
    rejection(server.url(way, 7))
    assert server.hits[f"/{way}/7"] == attempts


@pytest.mark.parametrize("way", ["busy", "later"])
def test_the_wish_of_a_server_to_wait_is_honoured(server: MisbehavingServer, way: str) -> None:
    assert fetch(server.url(way, 9)) == server.photograph(9)
    assert server.hits[f"/{way}/9"] == 2  # who comes earlier than he was asked to is sent away again


def test_a_page_in_place_of_the_photograph_is_left_to_the_decoder(server: MisbehavingServer) -> None:
    assert fetch(server.url("html")) == HTML
    assert fetch(server.url("empty")) == b""


def test_no_more_than_the_largest_size_is_received(server: MisbehavingServer) -> None:
    assert rejection(server.url("huge", 3)).detail == "file must have at most 1000000 bytes, got more"
    assert server.bytes_sent["huge"] < 40_000_000  # what was under way in the buffers of both sides, of 200 MB
    before = server.bytes_sent["announced"]
    rejection(server.url("announced", 3))
    assert server.bytes_sent["announced"] - before < 20_000_000
    photograph = server.photograph(1)
    assert fetch(server.url("photo", 1), changed(max_bytes=len(photograph))) == photograph
    assert rejection(server.url("chunked", 1), changed(max_bytes=len(photograph) - 1)).reason is Reason.TOO_LARGE


def test_opt_outs_may_be_passed_over_by_who_has_permission(server: MisbehavingServer) -> None:
    assert rejection(server.url("optout")).detail == "server must allow use of the image, got X-Robots-Tag noai"
    assert fetch(server.url("optout"), changed(respect_robots=False)) == server.photograph(0)


def test_redirects_are_followed_as_far_as_the_limit(server: MisbehavingServer) -> None:
    assert fetch(server.url("redirect"), changed(max_redirects=1)) == server.photograph(0)
    refused = rejection(server.url("redirect"), changed(max_redirects=0))
    assert (refused.reason, refused.detail) == (
        Reason.TOO_MANY_REDIRECTS,
        "URL must lead to a file in 0 redirects, got more",
    )


@pytest.mark.parametrize(
    "path",
    [
        "/smart/http%3A%2F%2Fcdn.example.org%2Fa.jpg",
        "/media/x.jpg%3Alarge?type=image%2Fjpeg&sign=a+b%2B",
        "/a//b/c.jpg",
        "/~me/(1)[2],3;4=5:6@7!$&'*+|?a=[1]/?",
    ],
)
def test_a_url_is_asked_for_as_it_was_published(server: MisbehavingServer, path: str) -> None:
    origin = server.url("photo").partition("/photo")[0]
    for way in (origin + path, f"{origin}/to?{path}"):
        server.hits.clear()
        rejection(way)
        assert path in server.hits


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://bücher.example/ä b.jpg", "http://xn--bcher-kva.example/%C3%A4%20b.jpg"),
        ('http://host/a.jpg?text=x y"#part', "http://host/a.jpg?text=x%20y%22"),
        ("http://me:pass@host:81", "http://me:pass@host:81/"),
        ("http://[2600::1]/a%zz", "http://[2600::1]/a%zz"),
    ],
)
def test_only_what_no_request_may_hold_is_escaped(url: str, asked: str) -> None:
    assert str(legal(as_published(url))) == asked


def test_an_ipv6_address_out_of_reach_is_a_matter_of_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without IPv6 has no address of its own to connect from; with IPv4 that is a lack of ports."""

    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", _no_address)
    refused = rejection("http://[2606:4700:4700::1111]/a.jpg", changed(retries=0))
    assert refused.reason is Reason.CONNECT
    with pytest.raises(
        SourceError, match="this machine must be able to open another connection, got Cannot assign requested address"
    ):
        fetch("http://1.1.1.1/a.jpg", changed(retries=0))


async def _no_address(*_: object) -> None:
    raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


def test_the_user_agent_says_who_asks_and_whom_to_tell(server: MisbehavingServer) -> None:
    server.user_agents.clear()
    fetch(server.url("photo"))
    fetch(server.url("photo"), changed(contact="mailto:me@example.org"))
    assert server.user_agents == {"condset/0.1.0", "condset/0.1.0 (+mailto:me@example.org)"}


def test_no_private_address_is_reached_by_url_spelling_or_redirect(server: MisbehavingServer) -> None:
    before = server.hits_inside
    for host in ("127.0.0.2", "0x7f.2", "[::ffff:127.0.0.2]", "0.0.0.0", "169.254.169.254", "[::1]"):
        refused = rejection(server.url("photo", 0, host))
        assert refused.reason is Reason.REFUSED_ADDRESS, host
    led = rejection(server.url("inside"))
    assert led.detail == (
        "127.0.0.2 must have a public address, got 127.0.0.2; fetch.allow_private_hosts lists exceptions"
    )
    assert server.hits_inside == before
    assert rejection(server.url("photo"), changed(allow_private_hosts=())).reason is Reason.REFUSED_ADDRESS


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[list[str]]]) -> None:
    """Let the system's resolver answer for names under .test, a list of addresses for each time it is asked."""
    system = socket.getaddrinfo

    def look_up(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
        if not str(host).endswith(".test"):
            return system(host, port, *arguments, **named)
        if not answers.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[host].pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_is_judged_by_each_address_it_has_when_it_is_connected_to(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.hits_inside
    answering(
        monkeypatch,
        {
            "good.test": [["127.0.0.1"]],
            "mixed.test": [["127.0.0.2", "10.0.0.1", "127.0.0.1"]],
            "inside.test": [["127.0.0.2", "10.0.0.1"]],
            "rebound.test": [["127.0.0.1"], ["127.0.0.2"]],
        },
    )
    for host in ("good.test", "mixed.test", "rebound.test"):
        assert fetch(server.url("photo", 1, host)) == server.photograph(1), host
    assert rejection(server.url("photo", 1, "inside.test")).detail.startswith(
        "inside.test must have a public address, got 10.0.0.1;"
    )
    assert rejection(server.url("photo", 1, "rebound.test")).reason is Reason.REFUSED_ADDRESS
    nameless = rejection(server.url("photo", 1, "nobody.test"))
    assert (nameless.reason, nameless.detail) == (
        Reason.DNS,
        "nobody.test must have an address, got Name or service not known",
    )
    assert server.hits_inside == before


def test_a_host_without_a_server_or_without_tls_is_no_connection(server: MisbehavingServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        closed = rejection(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert (closed.reason, closed.detail) == (
        Reason.CONNECT,
        "127.0.0.1 must accept a connection, got Connection refused",
    )
    insecure = rejection(server.url("photo").replace("http", "https"))
    assert (insecure.reason, insecure.detail) == (
        Reason.CONNECT,
        "127.0.0.1 must agree on TLS with a valid certificate, got none",
    )


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///x", "https://?", "http://a..b/", f"http://{'a' * 64}.test/", "http://[::1/", "http://1:x/",
     "http://1:99999/", "http://\ud800/", "http://.", "http://127.1/", "http://user:pass@/", "http://%zz:-1/",
     "http://[fe80::1%25eth0", "http://\t/"],
)  # fmt: skip
def test_what_is_no_url_is_rejected_before_anything_is_sent(url: str) -> None:
    assert rejection(url).reason is Reason.INVALID_URL


def test_an_outage_is_told_from_what_is_wrong_with_a_url() -> None:
    assert {REASONS[way] for way in ("down", "reset", "stall")} <= OUTAGE_REASONS
    assert not {REASONS[way] for way in ("missing", "closed", "optout", "inside", "huge", "cut")} & OUTAGE_REASONS
