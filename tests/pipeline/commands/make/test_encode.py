"""`condset encode` as a user types it: the layer it makes, how it goes on, what it refuses."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.ledger import records
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from stages.annotators.latents import read_latents
from tests.console import condset
from tests.pipeline.conftest import Make, Run, tree
from tests.tiny_autoencoder import CHANNELS, STRIDE, autoencoder, save_autoencoder

ROOT = Path(__file__).parents[4]
SIDE = 64 // STRIDE
PROGRAM = [sys.executable, "-c", "from train.cli import main; main()"]

INLINE = ("--executor", "inline", "--dtype", "float32")
"""Where bfloat16 is native it would be the default, and the posteriors as coarse."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_autoencoder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def encoded(data_set: Path, model: Path) -> Path:
    """A small data set with its latents."""
    assert condset("encode", data_set, "--model", model, *INLINE)[0] == 0
    return data_set


def test_the_layer_is_made_once_and_then_recognised(data_set: Path, model: Path) -> None:
    before = tree(data_set)
    arguments = ("encode", data_set, "--model", model, "--executor", "inline")
    status, out, _ = condset(*arguments)
    assert status == 0
    where = data_set / "layers/latents"
    assert out.startswith(f"{where} is complete: 12 samples in 3 shards, none rejected; ")
    whole = tree(data_set)
    card = {"README.md": whole["README.md"]}  # shows the layer
    assert {name: content for name, content in whole.items() if not name.startswith("layers/")} == before | card
    assert condset(*arguments)[:2] == (
        0,
        f"{where} is complete already: 12 samples in 3 shards, none rejected\n",
    )
    (where / "records/0000001.json").unlink()
    assert condset(*arguments)[1].startswith(f"{where} is complete: 12 samples")
    assert tree(data_set) == whole


def test_each_sample_has_the_posterior_of_its_stored_image(encoded: Path) -> None:
    import torch

    vae = autoencoder(0)
    images, latents = Directory(str(encoded)), Directory(str(encoded / "layers/latents"))
    for base, record in zip(records(images), records(latents), strict=True):
        for below, entry in zip(base.samples, record.samples, strict=True):
            assert entry.key == below.key
            picture = Image.open(io.BytesIO(read_sample(images, base, below)["jpg"]))
            image_chw = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
            with torch.inference_mode():
                posterior = vae.encode(image_chw[None] / 127.5 - 1).latent_dist
            members = read_sample(latents, record, entry)
            assert list(members) == ["latents.npy"]
            # float16 rounds to eleven digits; sums of float32 come out otherwise in another memory layout.
            mean, log_variance = read_latents(members["latents.npy"], CHANNELS, SIDE, SIDE)
            np.testing.assert_allclose(mean, posterior.mean[0].half(), rtol=2**-10, atol=5e-5)
            np.testing.assert_allclose(log_variance, posterior.logvar[0].half(), rtol=2**-10, atol=5e-5)


def test_another_model_is_refused_with_the_difference(encoded: Path, tmp_path: Path) -> None:
    other = save_autoencoder(tmp_path / "other", seed=1)
    before = tree(encoded)
    status, _, errors = condset("encode", encoded, "--model", other, *INLINE)
    assert status == 2
    last = errors.splitlines()[-1]
    assert last.startswith(
        f"condset: {encoded / 'layers/latents'} must hold this data set, got another one (weights.vae "
    )
    assert tree(encoded) == before


def test_the_same_model_elsewhere_is_the_same_layer(encoded: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "moved")
    status, out, _ = condset("encode", encoded, "--model", tmp_path / "moved", *INLINE)
    assert (status, "is complete already" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "{tmp}"], "must be a directory in diffusers' layout, got one without vae/config.json; save the"),
        (["--model", "{model}", "--variant", "fp16"], "fp16.bin, got diffusion_pytorch_model.safetensors; name the"),
        (["--model", "{model}", "--dtype", "float16", "--device", "cpu"], "dtype must be float32 or bfloat16 on a CPU"),
        (["--model", "{model}", "--ray-address", "x"], "--ray-address must go with --executor ray"),
    ],
)
def test_what_the_user_must_change_is_one_line_and_exit_2(
    data_set: Path, model: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    filled = [each.format(tmp=tmp_path, model=model) for each in arguments]
    status, _, errors = condset("encode", data_set, "--executor", "inline", *filled)
    assert status == 2
    assert errors.splitlines()[-1].startswith("condset: ")
    assert message in errors.splitlines()[-1]


def test_an_unfinished_data_set_is_refused(data_set: Path, model: Path) -> None:
    manifest = data_set / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    status, _, errors = condset("encode", data_set, "--model", model, "--executor", "inline")
    assert (status, "must be complete, got one that is still being made" in errors) == (2, True)


def test_a_damaged_shard_of_the_data_set_is_named(data_set: Path, model: Path) -> None:
    tar = data_set / "shards/0000001.tar"
    content = bytearray(tar.read_bytes())
    content[700] ^= 1
    tar.write_bytes(content)
    status, _, errors = condset("encode", data_set, "--model", model, "--executor", "inline")
    assert status == 2
    assert f"condset: {tar} sample 000000005 must have crc32" in errors.splitlines()[-1]


def test_a_data_set_with_latents_can_be_inspected(encoded: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    status, out, _ = condset("inspect", encoded, "--sheet", sheet, "--rows", "1")
    assert status == 0
    assert "latents: deviation" in out
    width = width_of(sheet)
    shutil.rmtree(encoded / "layers")
    condset("inspect", encoded, "--sheet", sheet, "--rows", "1")
    assert width_of(sheet) == width  # there is no column for what is no picture


def width_of(picture: Path) -> int:
    with Image.open(picture) as image:
        return image.width


@pytest.mark.slow
def test_killed_and_run_again_it_is_the_layer_of_an_uninterrupted_run(
    make_config: Make, run_inline: Run, model: Path, tmp_path: Path
) -> None:
    source = {"kind": "synthetic", "count": 60, "width_pixels": 64, "height_pixels": 64}
    run_inline(make_config(source=source, samples_per_shard=2), tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "killed")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def start(out: Path) -> subprocess.Popen[bytes]:
        command = [*PROGRAM, "encode", str(out), "--model", str(model), "--executor", "inline"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    layer = tmp_path / "killed/layers/latents"
    process = start(tmp_path / "killed")
    while process.poll() is None and not list(layer.glob("records/*.json")):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(list(layer.glob("records/*.json"))) < 30
    assert [start(tmp_path / each).wait() for each in ("killed", "data")] == [0, 0]
    assert tree(tmp_path / "killed") == tree(tmp_path / "data")


@pytest.mark.slow
@pytest.mark.ray
def test_ray_makes_the_same_bytes_from_a_model_named_by_a_relative_path(
    data_set: Path, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(data_set, tmp_path / "ray")
    monkeypatch.chdir(model.parent)
    for out, executor in ((data_set, "inline"), (tmp_path / "ray", "ray")):
        assert condset("encode", out, "--model", model.name, "--executor", executor)[0] == 0
    assert tree(tmp_path / "ray") == tree(data_set)
