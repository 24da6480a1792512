"""The server that fails as the web does: each kind of fault, drawn from its seed, and then the file."""

import http.client
import socket
import urllib.error
import urllib.request

import pytest

from stages.rehearsal.web_server import Fault, FaultServer

CONTENT = bytes(range(256)) * 40


def get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=0.3) as answer:
        content: bytes = answer.read()
        return content


RAISED: dict[Fault, tuple[type[Exception], ...]] = {
    Fault.BUSY: (urllib.error.HTTPError,),
    Fault.RESET: (ConnectionResetError, urllib.error.URLError, http.client.RemoteDisconnected),
    Fault.HALF: (http.client.IncompleteRead,),
    Fault.SILENCE: (TimeoutError, socket.timeout, urllib.error.URLError),
}


@pytest.mark.parametrize("fault", Fault)
def test_a_file_comes_after_its_faults(fault: Fault) -> None:
    with FaultServer({"a": CONTENT}, faults=2, kinds=(fault,)) as server:
        for _ in range(2):
            with pytest.raises(RAISED[fault]):
                get(server.url("a"))
        assert get(server.url("a")) == CONTENT
        assert server.faults == {fault: 2}


def test_ranges_and_missing_files_are_answered() -> None:
    with FaultServer({"a": CONTENT}, faults=0) as server:
        assert get(server.url("a"), Range="bytes=3-5") == CONTENT[3:6]
        assert get(server.url("a"), Range="bytes=10000-") == CONTENT[10000:]
        for path, status in (("none", 404), ("a", 416)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(server.url(path), Range="bytes=99999-")
            with caught.value as answer:
                assert answer.code == status


def test_equal_seeds_give_equal_faults() -> None:
    def drawn(seed: int) -> list[Fault | None]:
        with FaultServer({}, seed, faults=6) as server:
            return [server.draw(name) for name in "abc" for _ in range(7)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert drawn(3)[6] is None
    assert {*drawn(3)} == {None, *Fault}
