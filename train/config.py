"""The configuration of `condset train`: one TOML file, one table for each part, read as `prepare`'s is."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.hardware.precision import Dtype
from stages.records import Condition
from stages.settings import Mark, Settings
from train.adapters.spatial import AdapterConfig
from train.base.config import AnyDiffusion
from train.data.conditions import ConditionsConfig
from train.data.draws import ObjectiveConfig
from train.data.loader import LoaderConfig


class OptimizerConfig(Settings):
    """AdamW and its learning rate."""

    lr: float = Field(default=1e-5, gt=0)
    """The highest learning rate (1e-5 in T2I-Adapter)."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=1e-2, ge=0)
    """torch's default, which T2I-Adapter left as it is."""
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises from 0."""
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm; None leaves them."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Keep an exponential moving average of the adapter with this decay a step, and export it."""


class LoopConfig(Settings):
    """How many steps, how large, and how they run."""

    max_steps: Annotated[int, Mark.MANNER] = Field(ge=1)
    """Optimizer steps of the whole run."""
    batch_size: Annotated[int, Mark.MANNER] = Field(default=8, ge=1)
    """Samples of one worker in one forward pass."""
    accumulation: Annotated[int, Mark.MANNER] = Field(default=1, ge=1)
    """Forward passes whose gradients are averaged into one step."""
    device: Annotated[Literal["auto", "cpu", "cuda"], Mark.MANNER] = "auto"
    dtype: Dtype = "auto"
    """Precision of the frozen model and of the adapter's products; the adapter's weights stay float32."""
    threads: Annotated[int, Mark.MANNER] = Field(default=0, ge=0)
    """Threads of torch on a CPU; 0 leaves torch's own number. Another number changes the last bits of sums."""
    channels_last: Annotated[bool, Mark.MANNER] = True
    compile: Annotated[bool, Mark.MANNER] = False
    """torch.compile for the frozen UNet: minutes at the start, faster steps on a GPU."""
    gradient_checkpointing: Annotated[bool, Mark.MANNER] = False
    """Compute the UNet's activations twice instead of keeping them: less memory, a third more time."""
    caption_cache: Annotated[int, Mark.MANNER] = Field(default=4096, ge=0)
    """Captions whose embeddings are kept on the device; one of Stable Diffusion 1.x takes 118 KB in 16 bits."""
    latents: Annotated[Literal["auto", "never"], Mark.MANNER] = "auto"
    """Use the layer that `condset encode` made if every data set has it, or encode the images in every step."""
    log_every: Annotated[int, Mark.MANNER] = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: Annotated[int, Mark.MANNER] = Field(default=1000, ge=1)
    checkpoints_kept: Annotated[int, Mark.MANNER] = Field(default=3, ge=1)
    """Number of checkpoints that are kept; older ones are removed."""


class ValidationConfig(Settings):
    """What is looked at during training."""

    every: int = Field(default=1000, ge=0)
    """Steps between paired validation losses on --validation; 0 for none."""
    samples: int = Field(default=256, ge=1)
    """Number of samples that are measured: the first ones of the validation data set."""
    preview_every: int = Field(default=1000, ge=0)
    """Steps between preview pictures; 0 for none."""
    preview_samples: int = Field(default=4, ge=1)
    preview_seeds: int = Field(default=1, ge=1)
    """Number of starting noises from which each sample is drawn with the adapter."""
    preview_steps: int = Field(default=25, ge=1)
    """Steps of the sampler."""
    guidance: float = Field(default=7.5, ge=1)
    """Classifier-free guidance scale."""


class TrainConfig(Settings):
    """One training run: which adapter, on which base, for which condition."""

    name: Annotated[str, Mark.MANNER] = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The adapter's name, in its model card."""
    condition: Condition
    seed: int = 0
    """Every random choice is drawn from (seed, purpose, global sample index)."""
    adapter: AdapterConfig = AdapterConfig()
    diffusion: AnyDiffusion
    objective: ObjectiveConfig = ObjectiveConfig()
    conditions: ConditionsConfig = ConditionsConfig()
    loader: LoaderConfig = LoaderConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    loop: LoopConfig
    validation: Annotated[ValidationConfig, Mark.MANNER] = ValidationConfig()

    @model_validator(mode="after")
    def _latents_are_no_condition(self) -> "TrainConfig":
        if self.condition is Condition.LATENTS:
            raise ValueError("condition must be one that an adapter is trained on, got 'latents'; latents are images")
        return self
