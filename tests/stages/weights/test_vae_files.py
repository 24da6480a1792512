"""Where a model's VAE is looked for, and what is said if it is not there."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stages.errors import WeightsError
from stages.weights.vae_files import vae_directory, weights_file

ROOT = Path(__file__).parents[3]
WEIGHTS = "diffusion_pytorch_model.safetensors"
COMMIT = "c" * 40
FILES = ("unet/big.bin", "vae/config.json", "vae/diffusion_pytorch_model.bin")
"""Of the model on the hub."""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, and no way to the hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def put(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).write_bytes(b"{}")
    return directory


def put_in_cache(cache: Path, *names: str) -> Path:
    """What a download of owner/model leaves in the hub's cache."""
    (cache / "models--owner--model/refs").mkdir(parents=True)
    (cache / "models--owner--model/refs/main").write_text(COMMIT)
    return put(cache / f"models--owner--model/snapshots/{COMMIT}/vae", *names)


def test_a_directory_comes_before_the_hub(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cached = put_in_cache(cache, "config.json", WEIGHTS)
    monkeypatch.chdir(tmp_path)
    assert vae_directory("owner/model") == cached
    put(tmp_path / "owner/model/vae", "config.json")
    assert vae_directory("owner/model") == Path("owner/model/vae")


def test_the_home_directory_may_be_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    directory = put(tmp_path / "model/vae", "config.json")
    assert vae_directory("~/model") == directory


def test_a_directory_or_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        vae_directory(str(tmp_path))
    assert str(caught.value) == (
        f"model {tmp_path} must be a directory in diffusers' layout, got one without vae/config.json; "
        "save the pipeline with save_pretrained"
    )
    checkpoint = put(tmp_path / "models", "sd.safetensors") / "sd.safetensors"
    with pytest.raises(WeightsError, match="must be a directory in diffusers' layout, got a file; save the pipeline"):
        vae_directory(str(checkpoint))


def test_what_is_neither_a_directory_nor_a_hub_id_is_named() -> None:
    with pytest.raises(WeightsError, match=r"model /a/b must be .*, or a hub id such as owner/name, got neither;"):
        vae_directory("/a/b")


def test_a_model_that_is_nowhere_on_this_machine_is_named_at_once() -> None:
    with pytest.raises(WeightsError) as caught:
        vae_directory("owner/model", variant="fp16")
    assert str(caught.value) == (
        "model owner/model must be a directory with vae/config.json, or a hub id whose vae holds "
        "diffusion_pytorch_model.fp16.safetensors or diffusion_pytorch_model.fp16.bin, got no such directory, nothing "
        "in the hub's cache, and the hub cannot be reached: HF_HUB_OFFLINE is set; correct the path, or run "
        "`hf download owner/model` where there is a network"
    )


def test_what_the_cache_has_of_another_variant_is_not_enough(cache: Path) -> None:
    cached = put_in_cache(cache, "config.json", "diffusion_pytorch_model.fp16.safetensors")
    assert vae_directory("owner/model", variant="fp16") == cached
    with pytest.raises(WeightsError, match="the hub cannot be reached"):
        vae_directory("owner/model")


def test_safetensors_come_before_bin(tmp_path: Path) -> None:
    directory = put(tmp_path / "vae", "diffusion_pytorch_model.bin")
    assert weights_file(directory).name == "diffusion_pytorch_model.bin"
    (directory / WEIGHTS).touch()
    assert weights_file(directory).name == WEIGHTS


def test_the_variant_is_part_of_the_name(tmp_path: Path) -> None:
    directory = put(tmp_path / "vae", WEIGHTS, "diffusion_pytorch_model.fp16.safetensors")
    assert weights_file(directory, "fp16").name == "diffusion_pytorch_model.fp16.safetensors"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((), "diffusion_pytorch_model.bin, got none; save or download the model again"),
        (("diffusion_pytorch_model.fp16.bin",), "got diffusion_pytorch_model.fp16.bin; name the variant that is there"),
        ((f"{WEIGHTS}.index.json",), f"got {WEIGHTS}.index.json; save it in one file, with save_pretrained("),
    ],
)
def test_weights_that_are_not_there_are_named(there: tuple[str, ...], said: str, tmp_path: Path) -> None:
    directory = put(tmp_path / "vae", *there)
    with pytest.raises(WeightsError, match=f"weights of the VAE must be {directory / WEIGHTS} or .*{re.escape(said)}"):
        weights_file(directory)


class Repository(BaseHTTPRequestHandler):
    """As much of a hub as a download needs: one model, whose VAE has no .safetensors."""

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the test's output."""

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        if "/tree/" in self.path:
            self._answer(json.dumps([{"type": "file", "path": each, "size": 1, "oid": "0"} for each in FILES]).encode())
        elif self.path.startswith("/api/"):
            self._answer(json.dumps({"id": "owner/model", "sha": COMMIT}).encode())
        else:
            self._answer(self.path.encode())

    def _answer(self, content: bytes) -> None:
        content = content or self.path.encode()
        self.send_response(200 if self.path.startswith("/api/models/owner/model/") or "/resolve/" in self.path else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", hashlib.sha256(self.path.encode()).hexdigest())
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_of_a_repository_only_the_vae_is_downloaded(hub: str, tmp_path: Path) -> None:
    program = (
        "from stages.weights.vae_files import vae_directory, weights_file\n"
        "directory = vae_directory('owner/model')\n"
        "print(weights_file(directory).relative_to(directory.parents[3]))"
    )
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HUB_CACHE": str(tmp_path / "hub"), "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.stdout.strip() == f"models--owner--model/snapshots/{COMMIT}/vae/diffusion_pytorch_model.bin", result
    there = {path.name for path in (tmp_path / f"hub/models--owner--model/snapshots/{COMMIT}").rglob("*.*")}
    assert there == {"config.json", "diffusion_pytorch_model.bin"}
