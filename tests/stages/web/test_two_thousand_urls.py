"""Two thousand URLs of a server that misbehaves in every way, fetched and decoded as one shard."""

import socket
from itertools import cycle, islice
from pathlib import Path

import pytest

from stages.image.crop import ImageConfig
from stages.load import Loading, load_samples, make_sample
from stages.records import IndexRow, Reason, Rejection, StoredSample
from stages.sources.index.schema import NO_KEYPOINTS
from stages.web.config import FetchConfig
from tests.misbehaving_server import BROUGHT, PAGES, REASONS, MisbehavingServer, load_photographs
from tests.stages.web.left_behind import nothing_left

URLS = 2000
FETCH = FetchConfig(
    concurrency=128,
    per_host=128,
    connect_seconds=5,
    read_seconds=2,
    total_seconds=4,
    max_bytes=1_000_000,
    retries=2,
    first_pause_seconds=0.1,
    longest_pause_seconds=3,
    allow_private_hosts=("127.0.0.1",),
)
LOADING = Loading("", "", 0, ImageConfig(size_pixels=(64, 64)), seed=0, fetch=FETCH)
ELSEWHERE = {"nobody": Reason.DNS, "unheard": Reason.CONNECT, "nonsense": Reason.INVALID_URL}
SIGNED = frozenset({"ungzipped", "tangled"})
"""Of an encoding that they are not in, or that nobody knows: taken all the same if they begin as an image does."""
EXPECTED = {way: reason for way, reason in (REASONS | PAGES | ELSEWHERE).items() if way not in SIGNED}


def row(number: int, url: str) -> IndexRow:
    return IndexRow(f"{number:06}", url, ("a caption",), url, "", 0, 0, NO_KEYPOINTS, "", {}, None)


@pytest.mark.slow
def test_every_one_of_two_thousand_urls_is_accounted_for(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, *arguments: object, **named: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)  # no name but nobody.test needs it
    photographs = load_photographs(shared)
    half = URLS // 2
    in_turn = [*islice(cycle(sorted(BROUGHT | SIGNED)), half), *islice(cycle(sorted(EXPECTED)), URLS - half)]
    ways = [in_turn[number * 1009 % URLS] for number in range(URLS)]  # mixed, without a remainder
    with MisbehavingServer(photographs, longest_delay_seconds=0.3) as server, socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        elsewhere = {
            "nobody": "http://nobody.test/{}",
            "unheard": f"http://127.0.0.1:{unheard.getsockname()[1]}/{{}}",
            "nonsense": "http://[::photographs/{}",
        }
        rows = [
            row(number, elsewhere[way].format(number) if way in elsewhere else server.url(way, number))
            for number, way in enumerate(ways)
        ]
        with nothing_left(server):
            outcomes = load_samples(rows, LOADING)
        assert server.hits_inside == 0
        # What is looked at a second time is asked for before the server has seen the first connection end.
        assert 1 < server.most_requests["127.0.0.1"] <= FETCH.concurrency * 1.1

    got = {
        (way, outcome.reason if isinstance(outcome, Rejection) else None)
        for way, outcome in zip(ways, outcomes, strict=True)
    }
    assert got == {(way, None) for way in BROUGHT | SIGNED} | set(EXPECTED.items())
    assert [outcome.row.key if isinstance(outcome, StoredSample) else outcome.key for outcome in outcomes] == [
        each.key for each in rows
    ]
    crops = [make_sample(row(0, ""), photograph, LOADING) for photograph in photographs]
    for number, outcome in enumerate(outcomes):
        expected = crops[number % len(crops)]
        if isinstance(outcome, StoredSample):
            assert isinstance(expected, StoredSample)
            assert outcome.image_bytes == expected.image_bytes
