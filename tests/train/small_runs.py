"""Directories of training runs with small adapters, as the trainer leaves them, made in no time."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from stages.settings import plain
from train.adapters.spatial import RELATIVE_STRIDES, AdapterConfig, build_adapter
from train.base.protocol import FeatureShape
from train.config import TrainConfig
from train.runs.checkpoint import ADAPTER_FILE, CHECKPOINTS, EMA_FILE, POSITION_FILE, Position, save_parameters
from train.runs.directory import RunFile, claim
from train.runs.metrics import METRICS_FILE

CHANNELS = (8, 16, 16, 16)
STEP = 20


def shapes_of(kind: str, channels: tuple[int, ...] = CHANNELS) -> tuple[FeatureShape, ...]:
    finest = 16 if kind == "full_xl" else 8
    strides = [finest * stride for stride in RELATIVE_STRIDES[kind]]
    return tuple(FeatureShape(*pair) for pair in zip(channels, strides, strict=True))


def small_adapter(
    kind: str = "full", in_channels: int = 1, channels: tuple[int, ...] = CHANNELS, seed: int = 1
) -> nn.Module:
    config = AdapterConfig.model_validate({"kind": kind, "seed": seed})
    return build_adapter(config, in_channels, shapes_of(kind, channels))


def write_run(
    run: Path,
    kind: str = "full",
    in_channels: int = 1,
    channels: tuple[int, ...] = CHANNELS,
    averaged: bool = False,
    metrics: list[dict[str, float]] | None = None,
    **settings: Any,
) -> nn.Module:
    """Write a run with checkpoints of steps 10 and 20, and return the adapter of the last one."""
    config = TrainConfig.model_validate(
        {
            "name": "small-sketch",
            "condition": "sketch",
            "adapter": {"kind": kind},
            "diffusion": {"kind": "stable_diffusion", "model": "stable-diffusion-v1-5/stable-diffusion-v1-5"},
            "loop": {"max_steps": STEP, "batch_size": 4},
        }
        | settings
    )
    adapter = small_adapter(kind, in_channels, channels)
    claim(
        run,
        RunFile(
            config=plain(config),
            inputs={"samples a step": 4},
            data=["coco17-sketch"],
            base="0123456789abcdef",
            in_channels=in_channels,
            feature_shapes=[[shape.channels, shape.stride] for shape in shapes_of(kind, channels)],
            size_pixels=[64, 64],
            parameters=sum(parameter.numel() for parameter in adapter.parameters()),
        ),
    )
    for step, network in ((STEP // 2, small_adapter(kind, in_channels, channels, seed=2)), (STEP, adapter)):
        checkpoint = run / CHECKPOINTS / f"step-{step:07d}"
        checkpoint.mkdir(parents=True)
        save_parameters(checkpoint / ADAPTER_FILE, network)
        (checkpoint / POSITION_FILE).write_text(json.dumps(asdict(Position(step, 4 * step)) | {"sha256": {}}))
    if averaged:
        adapter = small_adapter(kind, in_channels, channels, seed=3)
        save_parameters(checkpoint / EMA_FILE, adapter)
    if metrics is not None:
        (run / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return adapter.eval()
