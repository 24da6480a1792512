"""A fit that is interrupted and goes on ends as an uninterrupted one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stages.errors import NonFiniteLoss
from train.scene_base.fit import fit
from train.scene_base.recipe import FitConfig

CONFIG = FitConfig(steps=8, batch_size=4, lr=0.1, warmup_steps=2, ema_decay=0.5)


class Interrupted(Exception):
    pass


def line(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(2, 1)


def run(network: nn.Linear, out: Path, stop_at: int | None = None) -> list[tuple[str, int, float]]:
    """Fit the sum of two numbers; the numbers of a step depend on it alone."""
    said: list[tuple[str, int, float]] = []

    def loss_of(step: int) -> Tensor:
        if step == stop_at:
            raise Interrupted
        numbers = torch.rand(4, 2, generator=torch.Generator().manual_seed(step))
        loss: Tensor = (network(numbers)[:, 0] - numbers.sum(1)).square().mean()
        return loss

    fit("line", network, loss_of, CONFIG, out, lambda *each: said.append(each), checkpoint_steps=3)
    return said


def test_an_interrupted_fit_goes_on_from_its_checkpoint_and_ends_the_same(tmp_path: Path) -> None:
    whole, parts = line(), line()
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    run(whole, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(parts, tmp_path / "parts", stop_at=5)
    resumed = line(seed=1)
    run(resumed, tmp_path / "parts")
    assert torch.equal(whole.weight, resumed.weight)
    assert not torch.equal(whole.weight, line().weight)


def test_a_complete_fit_is_only_loaded(tmp_path: Path) -> None:
    network, again = line(), line(seed=1)
    assert [each[:2] for each in run(network, tmp_path)] == [("line", 8)]
    assert run(again, tmp_path) == []
    assert torch.equal(network.weight, again.weight)


def test_the_networks_end_as_their_moving_average(tmp_path: Path) -> None:
    network = line()
    run(network, tmp_path)
    state = torch.load(tmp_path / "line.pt", weights_only=True)
    assert torch.equal(network.weight, state["average"]["module.weight"])
    assert not torch.equal(network.weight, state["networks"]["weight"])


def test_a_loss_that_is_not_finite_names_the_network_and_the_step(tmp_path: Path) -> None:
    network = line()
    with pytest.raises(NonFiniteLoss, match=r"^the loss of line must be finite, got nan in step 0; lower line\.lr$"):
        fit("line", network, lambda step: network.weight.sum() * torch.nan, CONFIG, tmp_path, lambda *each: None)
