"""Where weights are looked for, and that none is used unchecked."""

import errno
import functools
import hashlib
import http.server
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.errors import WeightsError
from stages.weights.catalogue import MODELS, Model
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import VARIABLE, WeightsFile, WeightsStore

CONTENT = b"the parameters of a small network"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
UNREACHABLE = "http://127.0.0.1:9/small.pth"
"""Port 9 is the discard service, which nothing runs any more: a refused connection, at once."""


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights directory is set, and the cache is an empty one."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def published_at(url: str) -> dict[str, Model]:
    return {"small": Model("small", "a network", "a paper", "MIT", "folder/small.pth", url, SHA256, len(CONTENT))}


SMALL = published_at(UNREACHABLE)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[dict[str, Model]]:
    """The model, whose file a local server holds."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "small.pth").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Write nothing to the test's output."""

    answers = functools.partial(Quiet, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield published_at(f"http://127.0.0.1:{server.server_address[1]}/small.pth")
        server.shutdown()
        thread.join()


def put(directory: Path, content: bytes = CONTENT) -> Path:
    path = directory / "folder" / "small.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_the_weights_directory_comes_before_the_variable_and_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = put(tmp_path / "cache" / "condset" / "weights")
    assert WeightsStore(models=SMALL).resolve("small") == WeightsFile(cached, SHA256)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "variable"))
    named = put(tmp_path / "variable")
    assert WeightsStore(models=SMALL).resolve("small").path == named
    explicit = put(tmp_path / "explicit")
    assert WeightsStore(tmp_path / "explicit", models=SMALL).resolve("small").path == explicit


def test_an_own_file_is_hashed_and_not_compared(tmp_path: Path) -> None:
    own = tmp_path / "own.pth"
    own.write_bytes(b"something else")
    assert WeightsStore(models=SMALL).resolve("small", str(own)) == WeightsFile(
        own, hashlib.sha256(b"something else").hexdigest()
    )


def test_an_own_file_that_is_missing_is_named(tmp_path: Path) -> None:
    put(tmp_path)
    with pytest.raises(WeightsError, match=r"weights of small must be a file, got 'absent.pth'; correct the path"):
        WeightsStore(tmp_path, models=SMALL).resolve("small", "absent.pth")


def test_a_file_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = put(tmp_path)

    def refuse(opened: Path, *arguments: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(opened))

    monkeypatch.setattr(Path, "open", refuse)  # root may read every file, whatever its permissions
    for own_file in (None, str(path)):
        with pytest.raises(WeightsError) as caught:
            WeightsStore(tmp_path, models=SMALL).resolve("small", own_file)
        assert str(caught.value) == (
            f"weights of small must be readable, got [Errno 13] Permission denied: '{path}'; correct its permissions"
        )


def test_a_truncated_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = put(tmp_path, CONTENT[:-1])
    with pytest.raises(WeightsError) as caught:
        WeightsStore(tmp_path, models=SMALL).resolve("small")
    assert str(caught.value) == (
        f"weights of small must be {len(CONTENT)} bytes long, got {len(CONTENT) - 1} in {path}; delete {path} and run"
        " `condset weights fetch small`, or name it as `weights` of the annotator if it is a network of your own"
    )
    assert path.read_bytes() == CONTENT[:-1]


def test_another_content_of_the_same_size_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, CONTENT[::-1])
    got = hashlib.sha256(CONTENT[::-1]).hexdigest()
    with pytest.raises(WeightsError, match=f"must have sha256 {SHA256}, got {got} in {path}; delete {path} and run"):
        WeightsStore(tmp_path, models=SMALL).resolve("small")


def test_a_wrong_file_is_refused_even_if_the_network_has_the_right_one(
    served: dict[str, Model], tmp_path: Path
) -> None:
    path = put(tmp_path, CONTENT[::-1])
    with pytest.raises(WeightsError, match="must have sha256"):
        WeightsStore(tmp_path, models=served).fetch("small")
    assert path.read_bytes() == CONTENT[::-1]


def test_without_a_network_one_message_says_all_that_is_to_be_done(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        WeightsStore(tmp_path, allow_network=False, models=SMALL).resolve("small")
    assert str(caught.value) == (
        f"weights of small must be in a file folder/small.pth, got none in {tmp_path} or the cache; run"
        f" `condset weights fetch small --weights-dir {tmp_path}` where there is a network, or put {UNREACHABLE}"
        f" at {tmp_path}/folder/small.pth"
    )


def test_a_server_that_cannot_be_reached_is_the_same_message_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        WeightsStore(models=SMALL).resolve("small")
    assert str(caught.value) == (
        "weights of small must be in a file folder/small.pth, got none in the cache, and its server cannot be reached:"
        f" Connection refused; run `condset weights fetch small` where there is a network, or put {UNREACHABLE}"
        f" at {tmp_path}/cache/condset/weights/folder/small.pth"
    )


def test_the_offline_switch_of_the_hub_is_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"weights of pidinet must be .*: HF_HUB_OFFLINE is set; run `condset weights"
    ):
        WeightsStore().resolve("pidinet")


def test_a_misspelt_model_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(WeightsError, match=r"model must be one of .*pidinet.*, got 'pidinett'; `condset weights list`"):
        WeightsStore().resolve("pidinett")


def test_a_missing_file_is_downloaded_into_the_cache(served: dict[str, Model], tmp_path: Path) -> None:
    path = tmp_path / "cache" / "condset" / "weights" / "folder" / "small.pth"
    assert WeightsStore(models=served).resolve("small") == WeightsFile(path, SHA256)
    assert path.read_bytes() == CONTENT


def test_a_missing_file_is_downloaded_into_the_weights_directory(served: dict[str, Model], tmp_path: Path) -> None:
    assert (
        WeightsStore(tmp_path / "mine", models=served).resolve("small").path
        == tmp_path / "mine" / "folder" / "small.pth"
    )


def test_fetching_into_a_directory_copies_what_is_on_the_machine(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "condset" / "weights")
    file = WeightsStore(tmp_path / "mine", models=SMALL).fetch("small")
    assert file == WeightsFile(tmp_path / "mine" / "folder" / "small.pth", SHA256)
    assert list(file.path.parent.iterdir()) == [file.path]
    assert file.path.read_bytes() == CONTENT


def test_a_weights_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "condset" / "weights")
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(
        WeightsError, match=r"the directory for the weights of small must be writable, got .*taken.*; choose another"
    ):
        WeightsStore(tmp_path / "taken", models=SMALL).fetch("small")


def test_a_store_travels_by_pickle(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path, allow_network=False)
    assert pickle.loads(pickle.dumps(store)) == store


HUB = """
import hashlib, http.server, sys, threading
from pathlib import Path
from huggingface_hub import constants
from stages.weights.catalogue import HubFile, Model
from stages.weights.store import WeightsStore

content, commit = b"from the hub", "0" * 40

class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_HEAD(self):
        self.send_response(200)
        for name, value in {"ETag": '"e"', "X-Repo-Commit": commit, "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(content)
    def log_message(self, *args): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
sha256 = hashlib.sha256(content).hexdigest()
models = {"small": Model("small", "", "", "", "folder/small.pth", HubFile("some/repository", "small.pth"), sha256)}
assert WeightsStore(models=models).find("small") is None
path = WeightsStore(models=models).resolve("small").path
assert path.read_bytes() == content and Path(constants.HF_HUB_CACHE) in path.parents, path
server.shutdown()
assert WeightsStore(allow_network=False, models=models).resolve("small").path == path
assert WeightsStore(Path("mine"), models=models).fetch("small").path == Path("mine/folder/small.pth")
"""


def test_a_hub_file_goes_into_the_hubs_own_cache_and_is_found_there(tmp_path: Path) -> None:
    """In a process of its own, because huggingface_hub reads HF_ENDPOINT when it is imported."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(tmp_path / "hub"),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "NO_PROXY": "127.0.0.1",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    finished = subprocess.run(
        [sys.executable, "-c", HUB, str(port)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.weights
def test_the_published_pidinet_file_is_found_and_read(shared: Path) -> None:
    file = WeightsStore(shared / "weights", allow_network=False).resolve("pidinet")
    state = load_state_dict(file)
    assert file.sha256 == MODELS["pidinet"].sha256
    assert state["init_block.weight"].shape == (60, 3, 3, 3)
    assert not any(name.startswith("module.") for name in state)
