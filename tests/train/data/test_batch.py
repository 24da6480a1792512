"""A visit shows what the shard stores, with what was drawn for it; a batch is its visits, stacked."""

import io
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.dataset.ledger import records
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from stages.annotators.latents import read_latents
from stages.errors import ShardCorrupt
from stages.records import Condition, UInt8Array
from tests.tiny_autoencoder import CHANNELS
from tests.train.conftest import SAMPLES, keys, open_reader, prepare_scenes
from train.data.batch import Latents, Pixels, VisitedSample, VisitReader, stack
from train.data.conditions import ConditionsConfig, is_flipped
from train.data.draws import ObjectiveConfig, draw
from train.data.visit import Visit

SHAPE_CHW = (CHANNELS, 8, 8)


def stored(data: Path) -> dict[str, dict[str, bytes]]:
    """The members of every sample."""
    home = Directory(str(data))
    return {entry.key: read_sample(home, record, entry) for record in records(home) for entry in record.samples}


def pixels(content: bytes) -> UInt8Array:
    """As Pillow shows a picture: (channels, height, width) RGB."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def image_of(visit: VisitedSample) -> UInt8Array:
    assert isinstance(visit.image, Pixels)
    return visit.image.image_chw


@pytest.mark.parametrize("condition", [Condition.COLOR, Condition.SEGMENTATION, Condition.KEYPOSE])
def test_a_visit_shows_the_stored_image_and_condition(color_data: Path, condition: Condition) -> None:
    read = open_reader([color_data], condition)
    samples = stored(color_data)
    visits = [read(index) for index in range(SAMPLES)]
    assert [visit.key for visit in visits] == list(samples)
    for visit, members in zip(visits, samples.values(), strict=True):
        assert np.array_equal(image_of(visit), pixels(members["png"]))
        assert np.array_equal(visit.condition_chw, pixels(members[f"{condition}.png"]))


def test_a_jpeg_is_read_as_pillow_decodes_it(wide_data: Path) -> None:
    visit = open_reader([wide_data])(1)
    assert np.array_equal(image_of(visit), pixels(stored(wide_data)[visit.key]["jpg"]))
    assert image_of(visit).shape == visit.condition_chw.shape == (3, 64, 128)
    assert visit.draws.noise_chw.shape == (CHANNELS, 8, 16)


def test_the_draws_are_those_of_the_global_index(color_data: Path) -> None:
    read = replace(open_reader([color_data], window=7, seed=5), objective=ObjectiveConfig(caption_drop=0.3))
    samples = stored(color_data)
    for index in (0, 3, SAMPLES, 1000):
        visit = read(index)
        captions = json.loads(samples[visit.key]["json"])["captions"]
        expected = draw(ObjectiveConfig(caption_drop=0.3), Visit(5, index), captions, SHAPE_CHW, 1000)
        assert (visit.draws.timestep, visit.draws.caption) == (expected.timestep, expected.caption)
        assert np.array_equal(visit.draws.noise_chw, expected.noise_chw)
        assert np.array_equal(visit.draws.posterior_noise_chw, expected.posterior_noise_chw)


def test_an_epoch_visits_every_sample_and_the_next_one_draws_anew(color_data: Path) -> None:
    read = open_reader([color_data], window=7)
    first, second = ([read(epoch * SAMPLES + index) for index in range(SAMPLES)] for epoch in range(2))
    assert sorted(visit.key for visit in first) == sorted(visit.key for visit in second) == keys()
    assert [visit.key for visit in first] != [visit.key for visit in second]
    noise = {visit.key: visit.draws.noise_chw for visit in first}
    assert not any(np.array_equal(visit.draws.noise_chw, noise[visit.key]) for visit in second)


def test_two_data_sets_are_one_row_of_samples(color_data: Path, tmp_path: Path) -> None:
    source = {"kind": "synthetic", "count": 7, "first": 100, "width_pixels": 96, "height_pixels": 80}
    other = prepare_scenes(tmp_path / "other", source=source, annotators=[{"kind": "color"}])
    read = open_reader([color_data, other], window=10)
    visits = {visit.key: visit for visit in map(read, range(SAMPLES + 7))}
    assert sorted(visits) == keys() + keys(7, first=100)
    members = stored(other)["000000103"]
    assert np.array_equal(image_of(visits["000000103"]), pixels(members["png"]))


def test_image_and_condition_are_mirrored_together(color_data: Path) -> None:
    plain, mirrored, sometimes = (
        open_reader([color_data], Condition.SEGMENTATION, flip=share) for share in (0.0, 1.0, 0.5)
    )
    seen = set()
    for index in range(SAMPLES):
        straight, turned, either = plain(index), mirrored(index), sometimes(index)
        assert np.array_equal(image_of(turned), image_of(straight)[:, :, ::-1])
        assert np.array_equal(turned.condition_chw, straight.condition_chw[:, :, ::-1])
        is_turned = is_flipped(ConditionsConfig(flip=0.5), Visit(0, index))
        expected = turned if is_turned else straight
        assert np.array_equal(image_of(either), image_of(expected))
        assert np.array_equal(either.condition_chw, expected.condition_chw)
        assert np.array_equal(either.draws.noise_chw, straight.draws.noise_chw)
        seen.add(is_turned)
    assert seen == {True, False}


def test_with_latents_the_image_is_the_posterior_in_the_layer(latents_data: Path) -> None:
    read, samples = open_reader([latents_data]), stored(latents_data / "layers/latents")
    for index in range(SAMPLES):
        visit = read(index)
        assert isinstance(visit.image, Latents)
        mean, log_variance = read_latents(samples[visit.key]["latents.npy"], *SHAPE_CHW)
        assert np.array_equal(visit.image.posterior, np.stack([mean, log_variance]))
        assert visit.image.posterior.std() > 0


def test_latents_change_nothing_but_the_image(latents_data: Path) -> None:
    cached, fresh = (open_reader([latents_data], window=5, use_latents=use)(3) for use in (True, False))
    assert cached.key == fresh.key
    assert (cached.draws.timestep, cached.draws.caption) == (fresh.draws.timestep, fresh.draws.caption)
    assert np.array_equal(cached.draws.noise_chw, fresh.draws.noise_chw)
    assert np.array_equal(cached.condition_chw, fresh.condition_chw)


def test_latents_of_another_size_are_named(latents_data: Path) -> None:
    read = replace(open_reader([latents_data]), latent_shape_chw=(CHANNELS, 16, 16))
    with pytest.raises(
        ShardCorrupt,
        match=rf"^{latents_data}/shards/0000000 sample 000000000 must be whole, got ValueError\('latents\.npy must be "
        rf"2048 float16 numbers, .*; run `condset verify {latents_data}`$",
    ):
        read(0)


def replaced(data: Path, old: bytes, new: bytes) -> VisitReader:
    """A reader of a data set in whose first sample bytes were replaced, as its record says they should be."""
    assert len(old) == len(new)
    tar, record = data / "shards/0000000.tar", data / "records/0000000.json"
    content = tar.read_bytes()
    fields = json.loads(record.read_text())
    _, offset, length, *_ = fields["samples"][0]
    sample = content[offset : offset + length]
    assert old in sample
    changed = sample.replace(old, new)
    tar.write_bytes(content.replace(sample, changed))
    fields["samples"][0][-1] = zlib.crc32(changed)
    record.write_text(json.dumps(fields))
    return open_reader([data])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'{"captions"', b'{"cuptions"', r"must be whole, got KeyError\('captions'\); run `condset verify .*`$"),
        (b'{"captions"', b'["captions"', r"must be whole, got JSONDecodeError\(.*; run `condset verify .*`$"),
    ],
)
def test_a_sample_that_is_not_what_it_should_be_is_named(own_data: Path, old: bytes, new: bytes, message: str) -> None:
    read = replaced(own_data, old, new)
    with pytest.raises(ShardCorrupt, match=rf"^{own_data}/shards/0000000 sample 000000000 {message}"):
        read(0)
    assert read(1).key == "000000001"


@pytest.mark.parametrize("member", ["png", "color.png"])
def test_a_picture_that_cannot_be_decoded_is_named(own_data: Path, member: str) -> None:
    content = stored(own_data)["000000000"][member]
    read = replaced(own_data, content, b"x" * len(content))
    with pytest.raises(ShardCorrupt, match=r"/shards/0000000 sample 000000000 .*must be a"):
        read(0)


def test_a_batch_is_its_visits_stacked(color_data: Path) -> None:
    read = open_reader([color_data])
    visits = [read(index) for index in (5, 2, 9)]
    batch = stack(visits, pin=False)
    assert batch.keys == ("000000005", "000000002", "000000009")
    assert batch.captions == tuple(visit.draws.caption for visit in visits)
    assert batch.timesteps_b.tolist() == [visit.draws.timestep for visit in visits]
    assert batch.timesteps_b.dtype is torch.int64
    assert batch.posterior_btchw is None
    assert batch.images_bchw is not None
    assert batch.images_bchw.dtype is batch.condition_bchw.dtype is torch.uint8
    for row, visit in enumerate(visits):
        assert np.array_equal(batch.images_bchw[row], image_of(visit))
        assert np.array_equal(batch.condition_bchw[row], visit.condition_chw)
        assert np.array_equal(batch.noise_bchw[row], visit.draws.noise_chw)
        assert np.array_equal(batch.posterior_noise_bchw[row], visit.draws.posterior_noise_chw)


def test_a_batch_of_latents_has_no_images(latents_data: Path) -> None:
    read = open_reader([latents_data])
    batch = stack([read(0), read(1)], pin=False)
    assert batch.images_bchw is None
    assert batch.posterior_btchw is not None
    assert (batch.posterior_btchw.dtype, tuple(batch.posterior_btchw.shape)) == (torch.float16, (2, 2, *SHAPE_CHW))
