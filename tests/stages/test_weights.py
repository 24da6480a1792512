"""Where weights are looked for, that none is used unchecked, and what can be read out of a checkpoint."""

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

import numpy as np
import pytest
import torch

from stages.errors import WeightsError
from stages.models import MODELS, Model
from stages.weights import VARIABLE, WeightsFile, WeightsStore, load_state_dict

CONTENT = b"the parameters of a small network"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
UNREACHABLE = "http://127.0.0.1:9/small.pth"
"""Port 9 is the discard service, which nothing runs any more: a refused connection, at once."""


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights directory is set, and the cache is an empty one."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model whose server does not answer."""
    return add_model(monkeypatch, UNREACHABLE)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Model]:
    """A model whose file a local server holds."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "small.pth").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Write nothing to the test's output."""

    answers = functools.partial(Quiet, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield add_model(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}/small.pth")
        server.shutdown()
        thread.join()


def add_model(monkeypatch: pytest.MonkeyPatch, url: str) -> Model:
    model = Model("small", "a network", "a paper", "MIT", "folder/small.pth", url, SHA256, len(CONTENT))
    monkeypatch.setitem(MODELS, "small", model)
    return model


def put(directory: Path, content: bytes = CONTENT) -> Path:
    path = directory / "folder" / "small.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_the_weights_directory_comes_before_the_variable_and_the_cache(
    small: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = put(tmp_path / "cache" / "condset" / "weights")
    assert WeightsStore().resolve("small") == WeightsFile(cached, SHA256)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "variable"))
    named = put(tmp_path / "variable")
    assert WeightsStore().resolve("small").path == named
    explicit = put(tmp_path / "explicit")
    assert WeightsStore(tmp_path / "explicit").resolve("small").path == explicit


def test_an_own_file_is_hashed_and_not_compared(small: Model, tmp_path: Path) -> None:
    own = tmp_path / "own.pth"
    own.write_bytes(b"something else")
    assert WeightsStore().resolve("small", str(own)) == WeightsFile(own, hashlib.sha256(b"something else").hexdigest())


def test_an_own_file_that_is_missing_is_named(small: Model, tmp_path: Path) -> None:
    put(tmp_path)
    with pytest.raises(WeightsError, match=r"weights of small must be a file, got 'absent.pth'; correct the path"):
        WeightsStore(tmp_path).resolve("small", "absent.pth")


def test_a_truncated_file_is_refused_and_left_alone(small: Model, tmp_path: Path) -> None:
    path = put(tmp_path, CONTENT[:-1])
    with pytest.raises(WeightsError) as caught:
        WeightsStore(tmp_path).resolve("small")
    assert str(caught.value) == (
        f"weights of small must be {len(CONTENT)} bytes long, got {len(CONTENT) - 1} in {path}; delete {path} and run"
        " `condset weights fetch small`, or name it as `weights` of the annotator if it is a network of your own"
    )
    assert path.read_bytes() == CONTENT[:-1]


def test_another_content_of_the_same_size_is_refused(small: Model, tmp_path: Path) -> None:
    path = put(tmp_path, CONTENT[::-1])
    got = hashlib.sha256(CONTENT[::-1]).hexdigest()
    with pytest.raises(WeightsError, match=f"must have sha256 {SHA256}, got {got} in {path}; delete {path} and run"):
        WeightsStore(tmp_path).resolve("small")


def test_a_wrong_file_is_refused_even_if_the_network_has_the_right_one(served: Model, tmp_path: Path) -> None:
    path = put(tmp_path, CONTENT[::-1])
    with pytest.raises(WeightsError, match="must have sha256"):
        WeightsStore(tmp_path).fetch("small")
    assert path.read_bytes() == CONTENT[::-1]


def test_without_a_network_one_message_says_all_that_is_to_be_done(small: Model, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        WeightsStore(tmp_path, allow_network=False).resolve("small")
    assert str(caught.value) == (
        f"weights of small must be in a file folder/small.pth, got none in {tmp_path} or the cache; run"
        f" `condset weights fetch small --weights-dir {tmp_path}` where there is a network, or put {UNREACHABLE}"
        f" at {tmp_path}/folder/small.pth"
    )


def test_a_server_that_cannot_be_reached_is_the_same_message_with_the_reason(small: Model, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        WeightsStore().resolve("small")
    assert str(caught.value) == (
        "weights of small must be in a file folder/small.pth, got none in the cache, and no way to its server:"
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
    with pytest.raises(WeightsError, match=r"model must be one of pidinet, .*, got 'pidinett'; `condset weights list`"):
        WeightsStore().resolve("pidinett")


def test_a_missing_file_is_downloaded_into_the_cache(served: Model, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "condset" / "weights" / "folder" / "small.pth"
    assert WeightsStore().resolve("small") == WeightsFile(path, SHA256)
    assert path.read_bytes() == CONTENT


def test_a_missing_file_is_downloaded_into_the_weights_directory(served: Model, tmp_path: Path) -> None:
    assert WeightsStore(tmp_path / "mine").resolve("small").path == tmp_path / "mine" / "folder" / "small.pth"


def test_fetching_into_a_directory_copies_what_is_on_the_machine(small: Model, tmp_path: Path) -> None:
    put(tmp_path / "cache" / "condset" / "weights")
    file = WeightsStore(tmp_path / "mine").fetch("small")
    assert file == WeightsFile(tmp_path / "mine" / "folder" / "small.pth", SHA256)
    assert list(file.path.parent.iterdir()) == [file.path]
    assert file.path.read_bytes() == CONTENT


def test_a_weights_directory_that_cannot_be_made_is_named(small: Model, tmp_path: Path) -> None:
    put(tmp_path / "cache" / "condset" / "weights")
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"weights of small must have a place to go, got .*taken.*; choose another"):
        WeightsStore(tmp_path / "taken").fetch("small")


def test_a_store_travels_by_pickle(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path, allow_network=False)
    assert pickle.loads(pickle.dumps(store)) == store


HUB = """
import hashlib, http.server, sys, threading
from pathlib import Path
from huggingface_hub import constants
from stages.models import MODELS, HubFile, Model
from stages.weights import WeightsStore

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
MODELS["small"] = Model("small", "", "", "", "folder/small.pth", HubFile("some/repository", "small.pth"), sha256)
assert WeightsStore().find("small") is None
path = WeightsStore().resolve("small").path
assert path.read_bytes() == content and Path(constants.HF_HUB_CACHE) in path.parents, path
server.shutdown()
assert WeightsStore(allow_network=False).resolve("small").path == path
assert WeightsStore(Path("mine")).fetch("small").path == Path("mine/folder/small.pth")
"""


def test_a_hub_file_goes_into_the_hubs_own_cache_and_is_found_there(tmp_path: Path) -> None:
    """In a process of its own, because huggingface_hub reads HF_ENDPOINT when it is imported."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(tmp_path / "hub"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
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


@pytest.mark.parametrize("entry", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["module.", ""])
def test_parameters_are_taken_out_of_what_wraps_them(tmp_path: Path, entry: str | None, prefix: str) -> None:
    parameters = {f"{prefix}weight": torch.ones(2)}
    torch.save({entry: parameters, "epoch": 3} if entry else parameters, tmp_path / "file")
    assert list(load_state_dict(WeightsFile(tmp_path / "file", ""))) == ["weight"]


def save_as_openmmlab(path: Path, numpy_module: bytes) -> None:
    """Write what `tools/misc/publish_model.py` of mmpose does: the legacy format, arrays in `meta`."""
    arrays = {"sigmas": np.ones(17, np.float32), "colors": np.zeros((17, 3), np.uint8), "scale": np.float64(2)}
    checkpoint = {"meta": {"epoch": 3, "dataset_meta": arrays}, "state_dict": {"weight": torch.ones(2)}}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", numpy_module))


@pytest.mark.parametrize("numpy_module", [b"numpy.core.multiarray", b"numpy._core.multiarray"], ids=["1", "2"])
def test_the_arrays_in_an_openmmlab_checkpoint_do_not_hinder(tmp_path: Path, numpy_module: bytes) -> None:
    save_as_openmmlab(tmp_path / "file", numpy_module)
    assert load_state_dict(WeightsFile(tmp_path / "file", ""))["weight"].tolist() == [1, 1]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_the_curves_in_an_mmengine_checkpoint_do_not_hinder(tmp_path: Path) -> None:
    from mmengine.logging.history_buffer import HistoryBuffer

    curves = {"loss": HistoryBuffer([1.0, 0.5], [1, 1])}
    torch.save({"message_hub": curves, "state_dict": {"weight": torch.ones(2)}}, tmp_path / "file")
    assert list(load_state_dict(WeightsFile(tmp_path / "file", ""))) == ["weight"]


def test_reading_a_file_leaves_torchs_list_of_safe_globals_as_it_was(tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    torch.save({"weight": torch.ones(2)}, tmp_path / "file")
    load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert torch.serialization.get_safe_globals() == before


class Command:
    """What pickle would run on loading, were it allowed to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_file_that_would_run_a_command_runs_nothing(tmp_path: Path) -> None:
    torch.save({"weight": Command(tmp_path / "made")}, tmp_path / "file")
    with pytest.raises(WeightsError, match=r"got UnpicklingError .*GLOBAL posix\.mkdir .*; save the state_dict alone"):
        load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert not (tmp_path / "made").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "file")
    with pytest.raises(WeightsError) as caught:
        load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert str(caught.value) == (
        f"{tmp_path / 'file'} must be a checkpoint that torch reads with weights_only, got UnpicklingError Unsupported"
        " global: GLOBAL torch.nn.modules.linear.Linear was not an allowed global by default; save the state_dict"
        " alone, with torch.save"
    )


def test_a_list_of_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "file")
    with pytest.raises(WeightsError, match="must hold tensors by name, got list; save the state_dict alone"):
        load_state_dict(WeightsFile(tmp_path / "file", ""))


@pytest.mark.parametrize("content", [b"", b"hello\n", b"<html></html>", b"PK\x03\x04" + b"0" * 100, bytes(1000)])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(WeightsError, match="must be a checkpoint that torch reads with weights_only, got") as caught:
        load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
