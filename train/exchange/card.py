"""The model card of an exported adapter: README.md of a directory, or NAME.md beside a file.

    run.json, the checkpoint's position, metrics.jsonl ──> front matter for the hub, condition, use, training, losses

Invariant: everything in it was read from the run; what the run does not say is not in the card.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.publish.markdown import markdown_table
from stages.annotators.keypose.skeleton import HEAD, LEFT, RIGHT
from stages.records import Condition
from train.base.config import BUILT_IN, AnyDiffusion, TinyDiffusionConfig
from train.config import TrainConfig
from train.data.conditions import ConditionsConfig
from train.exchange.architecture import AdapterKind
from train.exchange.read import StoredAdapter, run_config
from train.exchange.t2i_layout import Layout
from train.exchange.usage import usage
from train.runs.checkpoint import EMA_FILE, Position, read_position
from train.runs.directory import RunFile, read_run
from train.runs.metrics import read_metrics

SHOWN_HASH_DIGITS = 12

LOOKS = {
    Condition.SKETCH: "white lines on black, such as PiDiNet draws",
    Condition.DEPTH: (
        "relative depth, such as MiDaS gives: near is white, far is black, each picture scaled to its own range"
    ),
    Condition.KEYPOSE: (
        f"persons as skeletons of the 17 COCO keypoints on black, RGB: the head is {HEAD}, a person's left "
        f"side {LEFT}, the right side {RIGHT}"
    ),
    Condition.COLOR: (
        "the colours of an image in squares, of 64 x 64 pixels unless its data set says otherwise, RGB: reduced by "
        "OpenCV's bicubic interpolation, and enlarged again by nearest neighbour"
    ),
    Condition.SEGMENTATION: (
        "each pixel in the colour of its COCO-Stuff category, RGB: PASCAL VOC's colour map at the category's id, "
        "unlabelled pixels black"
    ),
    Condition.CANNY: "white edges on black, such as OpenCV's Canny draws",
}


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """What a run says of one adapter of it."""

    file: RunFile
    config: TrainConfig
    position: Position
    averaged: bool
    """Whether it is the moving average of the trained one."""
    metrics: Sequence[dict[str, float]]
    """Up to the adapter's step."""

    @property
    def kind(self) -> AdapterKind:
        return self.config.adapter.kind


def describe(run: Path, stored: StoredAdapter) -> TrainedAdapter:
    """Collect what a run says of a stored adapter; CheckpointError if a file of it is damaged."""
    file, position = read_run(run), read_position(stored.file.parent)
    metrics = [line for line in read_metrics(run) if line["step"] <= position.step]
    return TrainedAdapter(file, run_config(run, file), position, stored.file.name == EMA_FILE, metrics)


def render_card(adapter: TrainedAdapter, layout: Layout, exported_name: str) -> str:
    """Compose the card of an adapter that is exported under a name."""
    return "\n".join(
        [
            _front_matter(adapter, layout),
            _introduction(adapter),
            _condition(adapter),
            f"## Use\n\n{_usage(adapter, layout, exported_name)}",
            f"## Training\n\n{markdown_table(('setting', 'value'), _settings(adapter))}",
            *_losses(adapter),
            _licenses(),
        ]
    )


def base_name(diffusion: AnyDiffusion) -> str | None:
    """The hub id of a base model, or only the last part of its directory; None for one that condset brings along."""
    if isinstance(diffusion, BUILT_IN):
        return None
    return diffusion.model if _is_hub_id(diffusion.model) else Path(diffusion.model).name


def _named(diffusion: AnyDiffusion) -> str:
    built_in = "tiny model, random weights" if isinstance(diffusion, TinyDiffusionConfig) else "model of drawn scenes"
    return base_name(diffusion) or f"condset's {built_in}"


def _is_hub_id(model: str) -> bool:
    return model.count("/") == 1 and model[0] not in "./~" and not Path(model).exists()


def _front_matter(adapter: TrainedAdapter, layout: Layout) -> str:
    diffusion = adapter.config.diffusion
    lines = ["license: other"]
    if layout == "diffusers":
        lines.append("library_name: diffusers")
    if not isinstance(diffusion, BUILT_IN) and _is_hub_id(diffusion.model):
        lines.append(f"base_model: {json.dumps(diffusion.model)}")
    lines += ["tags:", "- t2i-adapter", "- condset", f"- {adapter.config.condition.value}"]
    return "\n".join(["---", *lines, "---"])


def _introduction(adapter: TrainedAdapter) -> str:
    config = adapter.config
    base = _named(config.diffusion)
    return f"""# {config.name}

A T2I adapter ({config.adapter.kind}, {adapter.file.parameters:,} parameters) by which a {config.condition.value}
picture steers what {base} draws. Trained with condset.
"""


def _condition(adapter: TrainedAdapter) -> str:
    condition, channels = adapter.config.condition, adapter.file.in_channels
    width, height = adapter.file.size_pixels
    coarsest = max(stride for _, stride in adapter.file.feature_shapes)
    seen = "one channel" if channels == 1 else f"{channels} channels"
    sentences = [
        f"A {condition.value} picture is {LOOKS[condition]}.",
        *([_binarised(adapter.config.conditions)] if condition is Condition.SKETCH else []),
        f"The adapter sees {seen} in [0, 1], which is 8-bit values / 255.",
        f"The picture has the size of the image, both sides multiples of {coarsest} pixels; the adapter was trained at "
        f"{width} x {height}.",
    ]
    return "## The condition\n\n" + "\n".join(sentences) + "\n"


def _binarised(conditions: ConditionsConfig) -> str:
    if conditions.sketch == "soft":
        return "Its greys are the probabilities of edges; it was trained on them without a threshold."
    if conditions.sketch == "random":
        return "It was trained on pictures of black and white alone, thresholded at 0.3 to 0.8 at random."
    return f"It was trained on pictures of black and white alone, thresholded at {conditions.sketch_threshold:g}."


def _usage(adapter: TrainedAdapter, layout: Layout, exported_name: str) -> str:
    base = base_name(adapter.config.diffusion)
    if isinstance(adapter.config.diffusion, TinyDiffusionConfig):
        return "Its base has random weights and draws nothing recognisable: this adapter is good for tests only.\n"
    if base is None:
        return (
            "Its base is the small model of drawn scenes that condset brings along: `condset sample` draws with it.\n"
        )
    conditions = adapter.config.conditions
    threshold = None
    if adapter.config.condition is Condition.SKETCH and conditions.sketch != "soft":
        threshold = conditions.sketch_threshold if conditions.sketch == "fixed" else 0.5
    return usage(layout, adapter.kind, exported_name, base, adapter.file.in_channels, threshold)


def _settings(adapter: TrainedAdapter) -> Iterator[tuple[str, str]]:
    config, file = adapter.config, adapter.file
    optimizer, objective = config.optimizer, config.objective
    base = _named(adapter.config.diffusion)
    yield "base model", f"{base}, frozen; sha256 of its UNet's parameters `{file.base[:SHOWN_HASH_DIGITS]}`"
    yield "data sets", ", ".join(file.data)
    yield "started from", "random weights" if config.adapter.init is None else Path(config.adapter.init).name
    yield "steps", f"{adapter.position.step} of {config.loop.max_steps}"
    yield "samples seen", str(adapter.position.samples)
    yield "batch", f"{file.inputs['samples a step']} samples a step"
    decay = f", weight decay {optimizer.weight_decay:g}"
    warmup = f", {optimizer.warmup_steps} steps of warm-up" if optimizer.warmup_steps else ""
    yield "optimizer", f"AdamW, learning rate {optimizer.lr:g}, {optimizer.schedule}{warmup}{decay}"
    drop = f"captions dropped for {objective.caption_drop:.0%}"
    yield "objective", f"mean squared error; time steps {objective.timesteps}, {drop}"
    if config.conditions.flip:
        yield "mirrored", f"{config.conditions.flip:.0%} of the samples"
    average = f"moving average with decay {optimizer.ema_decay:g}" if optimizer.ema_decay else "moving average"
    yield "weights", average if adapter.averaged else "of the last step"
    yield "seed", str(config.seed)


def _losses(adapter: TrainedAdapter) -> Iterator[str]:
    trained = next((line for line in reversed(adapter.metrics) if "loss" in line), None)
    held_out = next((line for line in reversed(adapter.metrics) if "validation/loss" in line), None)
    if trained is None and held_out is None:
        return
    yield "## Losses\n"
    if trained is not None:
        yield f"In training, at step {trained['step']:.0f}: {trained['loss']:.6f}.\n"
    if held_out is not None:
        rows = [
            (what, f"{held_out[name]:.6f}")
            for name, what in {
                "validation/loss": "with the sample's own condition",
                "validation/loss_shuffled": "with another sample's condition",
                "validation/loss_without": "of the base model without the adapter",
            }.items()
            if name in held_out
        ]
        yield (
            f"On the validation data set, its first {adapter.config.validation.samples} samples at most, at step "
            f"{held_out['step']:.0f}; the same time steps and noise for all:\n\n"
            + markdown_table(("loss", "mean"), rows)
        )


def _licenses() -> str:
    return """## Licences

condset's code is under Apache-2.0. These weights were fitted through the base model and on the images, captions and
conditions of the data sets: the licences of the base model and of the data apply. The data sets' own cards list theirs.
"""
