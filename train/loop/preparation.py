"""From a configuration to everything that a run holds, and the checks that they fit together, before the first step.

--data ──> training sets ─┐
[diffusion] ──> base ─────┼──check──> reader, adapter, optimization
[adapter] ────────────────┘
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.errors import ConfigError
from stages.hardware.precision import ResolvedDtype
from train.adapters.spatial import adapter_channels, build_adapter
from train.base.load import load_base
from train.config import TrainConfig
from train.data.batch import VisitReader
from train.data.conditions import decode_condition
from train.data.mix import MixedOrder, parse_data
from train.data.order import SampleOrder
from train.data.training_set import Joined, TrainingSet, open_training_sets, refuse_unlike
from train.sampling.denoise import check_steps

if TYPE_CHECKING:
    from torch import nn

    from train.base.stable_diffusion import StableDiffusion


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run is made of."""

    sets: list[TrainingSet]
    base: "StableDiffusion"
    adapter: "nn.Module"
    """On the base model's device, float32."""
    read: VisitReader
    held_out: VisitReader | None
    """Of the validation data set, in its own order."""
    shares: tuple[float, ...]
    """Of the visits, for each of the sets; empty if every sample of theirs is visited equally often."""


def prepare_run(
    config: TrainConfig, data: Sequence[str], validation: str | None, dtype: ResolvedDtype | None = None
) -> RunParts:
    """Open the data, load the base model and build the adapter.

    `dtype` is what all workers have settled on; None is what the configuration means on this machine.
    Raises ManifestError, ConfigError, WeightsError or CheckpointError for what does not exist or does not fit.
    """
    import torch

    loop = config.loop
    given = parse_data(data)
    shares = tuple(each.share for each in given if each.share is not None)
    sets = open_training_sets([each.location for each in given], config.condition, loop.latents == "auto")
    channels = adapter_channels(config.adapter, config.condition)
    _check_condition(sets[0], config, channels)
    base = load_base(
        config.diffusion,
        loop.device,
        dtype or loop.dtype,
        loop.channels_last,
        loop.gradient_checkpointing,
        loop.compile,
    )
    _check_base(sets, base, "--data")
    if config.validation.preview_every:
        check_steps(base, config.validation.preview_steps, "validation.preview_steps")
    adapter = build_adapter(config.adapter, channels, base.feature_shapes)
    if config.adapter.init is not None:
        from train.exchange.read import load_into

        load_into(adapter, config.adapter.init)
    adapter.to(base.device).to(memory_format=torch.channels_last)
    held_out = None
    if validation is not None:
        # Held-out samples are looked at in their own order, each with a time step of its own.
        others = open_training_sets([validation], config.condition, sets[0].latents is not None)
        refuse_unlike(sets[0], others[0], "--validation")
        _check_base(others, base, "--validation")
        held_out = _reader(config, others, base, channels, shuffled=False)
    read = _reader(config, sets, base, channels, shuffled=True, shares=shares)
    return RunParts(sets, base, adapter, read, held_out, shares)


def _reader(
    config: TrainConfig,
    sets: list[TrainingSet],
    base: "StableDiffusion",
    channels: int,
    shuffled: bool,
    shares: Sequence[float] = (),
) -> VisitReader:
    width, height = sets[0].size_pixels
    of_sets = [each.shards(number) for number, each in enumerate(sets)]
    shards: list[Joined] = [shard for of_set in of_sets for shard in of_set]
    for each, of_set in zip(sets, of_sets, strict=True):
        if not of_set and (shares or not shards):
            raise ConfigError(f"--data {each.directory} must have samples, got none; look at its rejected.jsonl")
    window = config.loader.shuffle_window if shuffled else None

    def order_of(joined: Sequence[Joined]) -> SampleOrder:
        return SampleOrder([shard.samples for shard in joined], window, config.seed)

    return VisitReader(
        sets=sets,
        shards=shards,
        order=MixedOrder(list(map(order_of, of_sets)), shares, config.seed) if shares else order_of(shards),
        condition=config.condition,
        conditions=config.conditions,
        objective=config.objective,
        channels=channels,
        latent_shape_chw=(base.latent_channels, height // base.latent_stride, width // base.latent_stride),
        timesteps=len(base.alphas_cumprod),
        seed=config.seed,
    )


def _check_condition(data: TrainingSet, config: TrainConfig, channels: int) -> None:
    """Refuse a coloured condition for an adapter of one channel, and a mirrored image that only its latents know."""
    if data.latents is not None and config.conditions.flip > 0:
        raise ConfigError(
            f"conditions.flip must be 0 with cached latents, got {config.conditions.flip:g} and the latents of "
            f'{data.directory}; a mirrored image has other latents: set loop.latents = "never"'
        )
    first = data.shards(0)[:1]
    if not first or channels == 3:
        return
    _, members = data.read(first[0].name, 0)
    picture = decode_condition(members[f"{config.condition.value}.png"], str(data.directory))
    if picture.ndim == 3:
        raise ConfigError(
            f"adapter.in_channels must be 3 for {config.condition.value}, which is coloured, got "
            f"{channels}; leave it out"
        )


def _check_base(sets: Sequence[TrainingSet], base: "StableDiffusion", option: str) -> None:
    """Refuse images that the base model does not divide evenly, and latents of another VAE; `option` named the sets."""
    coarsest = base.feature_shapes[-1].stride
    if any(side % coarsest for side in sets[0].size_pixels):
        size = "x".join(str(side) for side in sets[0].size_pixels)
        raise ConfigError(
            f"{option} {sets[0].directory} must have sides that are multiples of {coarsest} for this base model, got "
            f"{size}; prepare it with another image.size_pixels"
        )
    for data in sets:
        if data.latents is None:
            continue
        there = data.latents.models[0].sha256
        here = base.vae_sha256()
        if there != here:
            raise ConfigError(
                f"{option} {data.directory} must have latents of the base model's VAE "
                f"{(here or 'made in memory')[:14]}, "
                f'got those of {there[:14]}; encode them again with this base, or set loop.latents = "never"'
            )
