"""A step whose gradients overflow in float16 is none: nothing but the loss scale changes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from stages.errors import NonFiniteLoss
from tests.train.conftest import open_reader
from train.adapters.spatial import AdapterConfig, build_adapter
from train.base.caption_cache import CaptionCache
from train.base.config import TinyDiffusionConfig
from train.base.stable_diffusion import Running, StableDiffusion
from train.base.tiny import tiny_parts
from train.config import OptimizerConfig
from train.data.batch import Batch, stack
from train.loop.optimization import Optimization
from train.runs.checkpoint import Position, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from torch import nn


@pytest.fixture(scope="module")
def half_base() -> StableDiffusion:
    return StableDiffusion(tiny_parts(TinyDiffusionConfig()), Running(dtype=torch.float16))


@pytest.fixture(scope="module")
def batch(color_data: Path) -> Batch:
    read = open_reader([color_data])
    return stack([read(0)], pin=False)


class Training:
    """Steps in float16, of which some overflow."""

    def __init__(self, base: StableDiffusion, batch: Batch) -> None:
        self.adapter: nn.Module = build_adapter(AdapterConfig(kind="tiny"), 3, base.feature_shapes)
        settings = OptimizerConfig(lr=1e-3, warmup_steps=8, ema_decay=0.5)
        self.optimization = Optimization(self.adapter, base, settings, 10)
        self._captions, self._batch, self._steps = CaptionCache(base, 2), batch, 0

    def step(self, factor: float = 1.0) -> float:
        """Take one, with a gradient that is multiplied by a factor; returns the norm."""
        self._steps += 1
        first = next(self.adapter.parameters())
        hook = first.register_hook(lambda gradient: gradient * factor)  # type: ignore[no-untyped-call]
        try:
            self.optimization.accumulate([self._batch], self._captions, self._steps)
            return self.optimization.apply(self._steps)
        finally:
            hook.remove()

    def state(self) -> dict[str, Any]:
        """Everything that a step changes, but for the loss scale."""
        state = self.optimization.state()
        assert self.optimization.ema is not None
        tensors: dict[str, Tensor] = {
            f"{name}.{key}": tensor.clone()
            for name, network in (("adapter", self.adapter), ("ema", self.optimization.ema))
            for key, tensor in network.state_dict().items()
        }
        return tensors | {name: repr(state[name]) for name in ("optimizer", "schedule", "averaged")}


def test_a_skipped_step_changes_neither_weights_nor_schedule_nor_average(
    half_base: StableDiffusion, batch: Batch
) -> None:
    training = Training(half_base, batch)
    training.step()
    before, scale = training.state(), training.optimization.state()["scaler"]["scale"]
    assert before["averaged"] == "1"
    assert training.step(torch.inf) == torch.inf
    after = training.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(torch.as_tensor(before[name]), after[name]) for name in before if "." in name)
    assert [before[name] for name in ("schedule", "averaged")] == [after[name] for name in ("schedule", "averaged")]
    assert training.optimization.state()["scaler"]["scale"] == scale / 2
    training.step()
    assert training.optimization.learning_rate == pytest.approx(1e-3 * 2 / 8)


def test_what_was_skipped_stays_skipped_in_a_resumed_run(
    half_base: StableDiffusion, batch: Batch, tmp_path: Path
) -> None:
    training, resumed = Training(half_base, batch), Training(half_base, batch)
    training.step(torch.nan)
    load_checkpoint(save_checkpoint(tmp_path, training.optimization, Position(1, 1), kept=1), resumed.optimization)
    assert resumed.optimization.state() == training.optimization.state()
    assert resumed.optimization.learning_rate == training.optimization.learning_rate == 0


def test_a_gradient_that_no_scale_helps_ends_the_run(half_base: StableDiffusion, batch: Batch) -> None:
    training = Training(half_base, batch)
    state = training.optimization.state()
    training.optimization.load_state(state | {"scaler": state["scaler"] | {"scale": 1.0}})
    training.step(torch.inf)
    with pytest.raises(NonFiniteLoss, match=r"^the gradient of step 2 must be finite, got norm inf; lower optimizer"):
        training.step(torch.inf)
