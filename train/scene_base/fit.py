"""Fit networks step by step, and go on where an earlier attempt stopped.

    step n ──loss(n)──> backward ──clip──> AdamW ──> moving average ──every checkpoint_steps──> OUT/<name>.pt

Invariant: what a step draws depends on (seed, n) alone, so that an interrupted fit ends as an uninterrupted one.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.errors import NonFiniteLoss
from stages.locations import PARTIAL
from train.runs.write_errors import explain_write_errors
from train.scene_base.recipe import FitConfig

CHECKPOINT_STEPS = 250
LOG_STEPS = 50
MAX_GRADIENT_NORM = 1.0


class History(TypedDict):
    """How a fit went."""

    seconds: float
    """Of all attempts."""
    losses: list[tuple[int, float]]
    """Steps so far, and the mean loss of the last LOG_STEPS of them."""


def fit(
    name: str,
    networks: nn.Module,
    loss_of: Callable[[int], Tensor],
    config: FitConfig,
    out: Path,
    stepped: Callable[[str, int, float], object],
    checkpoint_steps: int = CHECKPOINT_STEPS,
) -> History:
    """Take `config.steps` steps from OUT/<name>.pt or from the start; `networks` end as their moving average.

    `loss_of` takes the number of a step, from 0; `stepped` is told name, steps done and recent mean loss now and then.
    Raises NonFiniteLoss, and CheckpointError if a file cannot be written.
    """
    from diffusers.optimization import get_cosine_schedule_with_warmup

    networks.train()
    optimizer = torch.optim.AdamW(networks.parameters(), config.lr, weight_decay=0.01, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, config.warmup_steps, config.steps)
    average = AveragedModel(networks, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))  # type: ignore[no-untyped-call]
    moving: dict[str, Any] = {"networks": networks, "average": average, "optimizer": optimizer, "schedule": schedule}
    file, done = out / f"{name}.pt", 0
    history: History = {"seconds": 0.0, "losses": []}
    if file.is_file():
        state = torch.load(file, weights_only=True)
        done, history = state["done"], state["history"]
        for part, each in moving.items():
            each.load_state_dict(state[part])
    recent: list[float] = []
    started = time.monotonic() - history["seconds"]
    for step in range(done, config.steps):
        loss = loss_of(step)
        recent.append(float(loss.detach()))
        if not math.isfinite(recent[-1]):
            raise NonFiniteLoss(f"the loss of {name} must be finite, got {recent[-1]} in step {step}; lower {name}.lr")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(networks.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        average.update_parameters(networks)
        if (step + 1) % LOG_STEPS == 0 or step + 1 == config.steps:
            history["losses"].append((step + 1, sum(recent) / len(recent)))
            stepped(name, *history["losses"][-1])
            recent.clear()
        if (step + 1) % checkpoint_steps == 0 or step + 1 == config.steps:
            history["seconds"] = time.monotonic() - started
            states = {part: each.state_dict() for part, each in moving.items()}
            _save(file, states | {"done": step + 1, "history": history})
    networks.load_state_dict(average.module.state_dict())
    networks.eval()
    return history


def _save(file: Path, state: dict[str, Any]) -> None:
    partial = file.with_suffix(PARTIAL)
    with explain_write_errors(file):
        torch.save(state, partial)
        partial.replace(file)
