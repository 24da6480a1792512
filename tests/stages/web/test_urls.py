"""Many URLs at once: order, limits, and that nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stages.records import Rejection
from stages.web.config import FetchConfig
from stages.web.urls import fetch_urls, is_web_url, pause_seconds
from tests.misbehaving_server import MisbehavingServer
from tests.stages.web.left_behind import nothing_left

CONFIG = FetchConfig(
    connect_seconds=5,
    read_seconds=5,
    total_seconds=5,
    retries=1,
    first_pause_seconds=0.01,
    allow_private_hosts=("127.0.0.1",),
)
PHOTOGRAPHS = [bytes([number]) * (20_000 + number) for number in range(17)]


def changed(**changes: object) -> FetchConfig:
    return FetchConfig.model_validate(CONFIG.model_dump() | changes)


ENDLESS = changed(connect_seconds=1000, read_seconds=1000, total_seconds=1000, per_host=30)
"""Waits for a server that stalls longer than any test may take."""


def requests(server: MisbehavingServer, ways: list[str]) -> list[tuple[str, str]]:
    return [(f"{number:04}", server.url(way, number)) for number, way in enumerate(ways)]


def keep(position: int, fetched: bytes | Rejection) -> bytes | Rejection:
    return fetched


def test_results_come_in_the_order_of_the_requests_whatever_finishes_first() -> None:
    results = []
    for seed in (1, 2):
        with MisbehavingServer(PHOTOGRAPHS, seed, longest_delay_seconds=0.2) as server:
            ways = ["photo", "missing", "flaky", "chunked", "optout"] * 8
            came: list[int] = []

            def note(position: int, fetched: bytes | Rejection, came: list[int] = came) -> bytes | Rejection:
                came.append(position)
                return fetched

            results.append((fetch_urls(requests(server, ways), changed(per_host=40), note), came))
    (first, first_came), (second, second_came) = results
    assert first_came != second_came
    assert first == second
    assert first[0] == PHOTOGRAPHS[0]
    assert first[3] == PHOTOGRAPHS[3]
    assert [each.key for each in first if isinstance(each, Rejection)] == [
        f"{n:04}" for n in range(40) if n % 5 in (1, 2, 4)
    ]


def test_no_more_connections_than_allowed_in_all_and_for_each_host() -> None:
    with MisbehavingServer(PHOTOGRAPHS, longest_delay_seconds=0.05) as server:
        config = changed(concurrency=7, per_host=3, allow_private_hosts=["127.0.0.0/8"])
        hosts = ["127.0.0.1"] * 30 + ["127.0.0.2"] * 30
        urls = [(str(n), server.url("photo", n, host)) for n, host in enumerate(hosts)]
        fetched = fetch_urls(urls, config, keep)
        assert [each for each in fetched if isinstance(each, Rejection)] == []
        assert server.most_requests == {"127.0.0.1": 3, "127.0.0.2": 3}
        server.most_requests.clear()
        fetch_urls(urls[:30], changed(concurrency=4, per_host=30), keep)
        assert server.most_requests["127.0.0.1"] == 4


def test_a_pause_holds_no_slot() -> None:
    with MisbehavingServer(PHOTOGRAPHS) as server:
        fetched = fetch_urls(requests(server, ["busy"] * 5), changed(concurrency=1), keep)
        assert server.paths[0] != server.paths[1]  # the first one is asked to wait a second
    assert fetched == [PHOTOGRAPHS[n % 17] for n in range(5)]


def test_pauses_double_vary_with_the_key_and_are_the_same_in_every_run() -> None:
    config = changed(first_pause_seconds=1.0, longest_pause_seconds=3.0)
    pauses = [[pause_seconds(f"{key:04}", attempt, config) for key in range(200)] for attempt in range(4)]
    assert pauses == [[pause_seconds(f"{key:04}", attempt, config) for key in range(200)] for attempt in range(4)]
    for drawn, longest in zip(pauses, (1, 2, 3, 3), strict=True):
        assert longest / 2 < min(drawn) < 0.6 * longest
        assert 0.9 * longest < max(drawn) <= longest
        assert len(set(drawn)) == 200


def test_one_image_at_a_time_is_used_and_no_more_are_held_than_slots() -> None:
    with MisbehavingServer(PHOTOGRAPHS) as server:
        in_use = threading.Lock()

        def use(position: int, fetched: bytes | Rejection) -> str:
            assert in_use.acquire(blocking=False)
            time.sleep(0.01)
            served = sum(server.hits.values())
            in_use.release()
            assert served <= position + 1 + 2 * 3  # every slot may be some places ahead of the one that is used
            return threading.current_thread().name

        names = fetch_urls(requests(server, ["photo"] * 30), changed(concurrency=3), use)
    assert len(set(names)) == 1


def test_it_runs_in_a_thread_beside_others_and_leaves_nothing() -> None:
    ways = ["photo", "reset", "missing", "short", "down", "html"] * 5
    with MisbehavingServer(PHOTOGRAPHS) as server, nothing_left(server), ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fetch_urls(requests(server, ways), CONFIG, keep), range(2))
        assert first == second


def test_an_error_in_use_ends_the_rest_at_once_and_leaves_nothing() -> None:
    def fail(position: int, fetched: bytes | Rejection) -> None:
        raise ZeroDivisionError(position)

    with MisbehavingServer(PHOTOGRAPHS) as server, nothing_left(server):
        with pytest.raises(ZeroDivisionError):
            fetch_urls(requests(server, ["stall"] * 20 + ["photo"]), ENDLESS, fail)
        assert max(server.hits.values()) == 1


def test_stopping_ends_the_rest_at_once_and_leaves_nothing() -> None:
    with MisbehavingServer(PHOTOGRAPHS) as server, nothing_left(server):
        stop = threading.Event()

        def stop_at_a_photograph(position: int, fetched: bytes | Rejection) -> None:
            if isinstance(fetched, bytes):
                stop.set()

        with pytest.raises(asyncio.CancelledError):
            fetch_urls(requests(server, ["stall", "closed", "photo"] * 10), ENDLESS, stop_at_a_photograph, stop)
        assert max(server.hits.values()) == 1


PROGRAM = """
import resource
from stages.web.config import FetchConfig
from stages.web.urls import fetch_urls
config = FetchConfig(allow_private_hosts=("127.0.0.1",), per_host=64)
try:
    {before}
    fetch_urls([(str(n), "{url}") for n in range(60)], config, lambda position, fetched: None)
except KeyboardInterrupt:
    print("interrupted")
except Exception as error:
    print(type(error).__name__, error)
"""


def start(server: MisbehavingServer, before: str) -> "subprocess.Popen[str]":
    program = PROGRAM.format(url=server.url("stall"), before=before)
    return subprocess.Popen(
        [sys.executable, "-W", "default", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_ends_it_cleanly() -> None:
    with MisbehavingServer(PHOTOGRAPHS) as server:
        process = start(server, "pass")
        while not server.hits:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        assert process.communicate(timeout=300) == ("interrupted\n", "")


def test_a_lack_of_this_machine_is_an_error_and_no_rejection() -> None:
    with MisbehavingServer(PHOTOGRAPHS) as server:
        process = start(server, "resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))")
        assert process.communicate(timeout=300) == (
            "SourceError this machine must be able to open another connection, got Too many open files; lower "
            "fetch.concurrency or raise its limits\n",
            "",
        )


def test_only_http_and_https_are_of_the_web() -> None:
    assert all(is_web_url(uri) for uri in ("http://x/1.jpg", "HTTPS://x/1.jpg"))
    assert not any(is_web_url(uri) for uri in ("", "http:x", "s3://x/1.jpg", "a/http://x", "member:0.tar?offset=1"))
