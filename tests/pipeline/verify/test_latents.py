"""Latents are verified in a layer and in the data set's own shards: their form, and with `deep` their values."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from pipeline.dataset.ledger import records
from pipeline.dataset.manifest import read_manifest, summarise, write_manifest
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import record_file
from pipeline.dataset.shards import commit_shard, read_sample
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from pipeline.verify.dataset import verify
from pipeline.verify.deep import LATENT_FRACTIONS, describe_difference
from stages.errors import WeightsError
from stages.image.encode import encode_member
from stages.records import ArrayMember, EncodedSample, Float16Array
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run
from tests.pipeline.verify.damage import Copy
from tests.tiny_autoencoder import save_autoencoder

NO_WEIGHTS = WeightsStore(allow_network=False)
LAYER = "layers/latents"


def problems(path: Path, deep: bool = False) -> list[str]:
    return [str(each) for each in verify(Directory(str(path)), deep, NO_WEIGHTS, "cpu").problems]


def stored(values: Float16Array) -> bytes:
    return encode_member(ArrayMember("latents.npy", values))


@pytest.fixture(scope="module")
def sound(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model; scenes with their latents in the shards, and scenes with their latents in a layer."""
    root = tmp_path_factory.mktemp("latents")
    latents = {"kind": "latents", "model": str(save_autoencoder(root / "model")), "dtype": "float32"}
    run_inline(make_config(annotators=[latents]), root / "inside")
    run_inline(make_config(), root / "layered")
    config, base = make_config(annotators=[latents]), Directory(str(root / "layered"))
    prepare_layer(config, base, offline())
    return root


@pytest.fixture
def inside(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound / "inside", tmp_path / "inside"))


@pytest.fixture
def layered(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound / "layered", tmp_path / "layered"))


@pytest.mark.parametrize("name", ["inside", "layered"])
def test_sound_latents_are_found_sound(sound: Path, name: str) -> None:
    assert problems(sound / name, deep=True) == []


def test_without_the_model_everything_but_the_values_is_verified(sound: Path) -> None:
    (sound / "model").rename(sound / "away")
    try:
        assert problems(sound / "layered") == []
        with pytest.raises(WeightsError, match=r"model .* must be a directory with vae/config\.json"):
            problems(sound / "layered", deep=True)
    finally:
        (sound / "away").rename(sound / "model")


def test_with_another_model_the_values_cannot_be_verified(sound: Path) -> None:
    (sound / "model").rename(sound / "away")
    try:
        save_autoencoder(sound / "model", seed=1)
        with pytest.raises(WeightsError, match="weights of vae must be those that the data set was made with, sha256"):
            problems(sound / "layered", deep=True)
    finally:
        shutil.rmtree(sound / "model")
        (sound / "away").rename(sound / "model")


def test_latents_of_another_image_in_the_layer_are_named(layered: Path) -> None:
    layer = Directory(str(layered / LAYER))
    record = next(records(layer))
    members = [tuple(read_sample(layer, record, entry).items()) for entry in record.samples]
    members[0], members[1] = members[1], members[0]
    samples = [
        EncodedSample(entry.key, each, entry.width, entry.height)
        for entry, each in zip(record.samples, members, strict=True)
    ]
    plan = ShardPlan(int(record.name), record.start, record.stop)
    manifest = read_manifest(layer)
    layer.remove(record_file(record.name))  # a shard that is committed is never replaced
    commit_shard(layer, plan, manifest.fingerprint, record.numerics, samples, record.base_sha256)
    write_manifest(layer, summarise(layer, replace(manifest, complete=False)))
    assert problems(layered) == []
    first, second = problems(layered, deep=True)
    words = "latents.npy must follow from the stored image, got a mean typically "
    assert first.startswith(f"layer latents shard 0000000 key 000000000: {words}")
    assert second.startswith(f"layer latents shard 0000000 key 000000001: {words}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.astype(np.float32), "flat float16, a multiple of 2 long, got 512 of float32"),
        (lambda values: values[:-1], "flat float16, a multiple of 2 long, got 511 of float16"),
        (lambda values: values[:0], "flat float16, a multiple of 2 long, got 0 of float16"),
        (lambda values: np.append(values[:-1], np.float16(np.nan)), "finite, got nan at position 511"),
    ],
)
def test_latents_of_another_form_are_named(
    inside: Path, change: Callable[[Float16Array], Float16Array], words: str
) -> None:
    shard, key = rewrite(inside, change)
    (problem,) = problems(inside)
    assert problem.startswith(f"shard {shard} key {key}: latents.npy must be {words}")


def test_a_log_variance_that_no_clamp_let_through_is_named(inside: Path) -> None:
    shard, key = rewrite(inside, lambda values: np.append(values[:-1], np.float16(21)))
    (problem,) = problems(inside)
    words = f"shard {shard} key {key}: latents.npy log variances must be -30 to 20, got -"
    assert problem.startswith(words)
    assert " to 21; " in problem


def rewrite(path: Path, change: Callable[[Float16Array], Float16Array]) -> tuple[str, str]:
    """Change the latents of a sample, consistently; returns its shard and key."""
    header = len(stored(np.zeros(0, np.float16)))
    return Copy(path, Random(0)).rewrite_member(
        "latents.npy", lambda content: stored(change(np.frombuffer(content[header:], np.float16)))
    )


@pytest.mark.parametrize("dtype", sorted(LATENT_FRACTIONS))
def test_latents_may_be_as_far_away_as_their_dtype_rounds(dtype: str) -> None:
    fraction = LATENT_FRACTIONS[dtype]
    values = np.random.default_rng(0).normal(0, 4, 2 * 4096).astype(np.float16)
    values[4096:] -= np.float16(20)
    noise = np.random.default_rng(1).normal(0, 1, values.size)
    usual = np.where(np.arange(values.size) < 4096, 4.0, 20.4)

    def moved(by: float) -> bytes:
        return stored((values + by * usual * noise).astype(np.float16))

    said = describe_difference(stored(values), moved(1.2 * fraction), exact=False, latent_fraction=fraction)
    assert said.startswith("a mean typically ")
    assert describe_difference(stored(values), moved(0.8 * fraction), exact=False, latent_fraction=fraction) == ""
