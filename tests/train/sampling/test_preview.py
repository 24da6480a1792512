"""A preview compares, for fixed samples and noise, the base alone with the base and the adapter."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from stages.records import Condition, UInt8Array
from tests.train.conftest import open_reader, prepare_scenes
from tests.train.sampling.test_grid import TOP, cell
from train.adapters.spatial import AdapterConfig, build_adapter
from train.base.stable_diffusion import StableDiffusion
from train.data.batch import VisitReader, stack
from train.sampling.denoise import sample_pictures, starting_noise
from train.sampling.grid import CELL_PIXELS
from train.sampling.preview import draw_preview
from train.sampling.settings import SamplerSettings

STEPS = 2
GUIDED, ONE_STEP = SamplerSettings(STEPS, 2.0), SamplerSettings(1, 1.0)


def columns(base: StableDiffusion, adapter: torch.nn.Module, read: VisitReader, guidance: float) -> list[UInt8Array]:
    """The three pictures of the first sample, as they are shown at three times their size."""
    page = np.asarray(draw_preview(base, adapter, read, 1, SamplerSettings(STEPS, guidance)))
    return [cell(page, column, TOP)[1::3, 1::3] for column in range(3)]


def test_it_shows_the_condition_the_base_alone_and_the_adapter(tiny_base: StableDiffusion, color_data: Path) -> None:
    adapter = build_adapter(AdapterConfig(kind="light"), 3, tiny_base.feature_shapes)
    read = open_reader([color_data])
    condition, without, with_it = columns(tiny_base, adapter, read, 2.0)
    batch = stack([read(0)], pin=False)
    noise = starting_noise(tiny_base, [0], 64, 64)
    with torch.no_grad():
        features = adapter(batch.condition_bchw / 255)
    assert np.array_equal(condition, batch.condition_bchw[0].permute(1, 2, 0).numpy())
    assert np.array_equal(without, sample_pictures(tiny_base, batch.captions, noise, None, GUIDED)[0])
    steered = sample_pictures(tiny_base, batch.captions, noise, features, GUIDED)[0]
    assert abs(with_it.astype(int) - steered).max() <= 1
    assert abs(with_it.astype(int) - without).max() > 1


def test_a_condition_of_one_channel_is_shown_grey(tiny_base: StableDiffusion, tmp_path: Path) -> None:
    adapter = build_adapter(AdapterConfig(kind="light"), 1, tiny_base.feature_shapes)
    source = {"kind": "synthetic", "count": 1, "width_pixels": 96, "height_pixels": 80}
    data = prepare_scenes(tmp_path / "data", source=source, annotators=[{"kind": "canny"}])
    read = replace(open_reader([data], Condition.CANNY), channels=1)
    condition, _, _ = columns(tiny_base, adapter, read, 1.0)
    edges = read(0).condition_chw
    assert edges.shape == (1, 64, 64)
    assert edges.any()
    assert np.array_equal(condition, edges.transpose(1, 2, 0).repeat(3, axis=2))


def test_it_is_the_same_picture_each_time_and_one_row_a_sample(tiny_base: StableDiffusion, color_data: Path) -> None:
    adapter = build_adapter(AdapterConfig(kind="light"), 3, tiny_base.feature_shapes)
    read = open_reader([color_data])
    first, again = (draw_preview(tiny_base, adapter, read, 2, ONE_STEP) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert first.height > 2 * CELL_PIXELS
    assert first.width < 4 * CELL_PIXELS


def test_drawing_does_not_train(tiny_base: StableDiffusion, color_data: Path) -> None:
    adapter = build_adapter(AdapterConfig(kind="light"), 3, tiny_base.feature_shapes)
    before = torch.get_rng_state()
    draw_preview(tiny_base, adapter, open_reader([color_data]), 1, ONE_STEP)
    assert all(parameter.grad is None for parameter in adapter.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def test_more_seeds_are_more_columns_from_other_noises(tiny_base: StableDiffusion, color_data: Path) -> None:
    adapter = build_adapter(AdapterConfig(kind="light"), 3, tiny_base.feature_shapes)
    read = open_reader([color_data])
    page = np.asarray(draw_preview(tiny_base, adapter, read, 1, GUIDED, seeds=3))
    first, *others = (cell(page, column, TOP) for column in (2, 3, 4))
    assert np.array_equal(first, cell(np.asarray(draw_preview(tiny_base, adapter, read, 1, GUIDED)), 2, TOP))
    assert all(not np.array_equal(first, other) for other in others)
