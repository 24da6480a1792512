"""Numerics: everything besides the inputs that may change the last bit of a result.

Equal inputs under equal numerics give equal bytes. They are stored in each shard's record, so that a resume under
others (float32 sums of one torch differ from those of another in a few pixels) is noticed and said.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from stages.annotators.protocol import AnnotatorConfig
from stages.errors import ConfigError
from stages.settings import Settings, changed

NO_NETWORK = "none"
"""The dtype of an annotator that computes with integers alone."""
LIBRARIES = (
    "condset",
    "controlnet-aux",
    "diffusers",
    "mmpose",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "timm",
    "torch",
    "torchvision",
    "transformers",
)
"""In the order of a record, which is sorted, so that numerics are written alike whether they come from one or not."""


@dataclass(frozen=True, slots=True)
class Numerics:
    """The circumstances of a computation, without time or host."""

    device: str
    dtypes: Mapping[str, str]
    """Condition to the dtype its network ran in."""
    threads_per_worker: int
    batch_size: int
    versions: Mapping[str, str]

    def differences(self, other: "Numerics") -> list[str]:
        """Describe, field by field, where the other ones differ.

        On a CPU each thread makes images of its own, so that their number changes nothing.
        """
        mine, theirs = _flat(asdict(self)), _flat(asdict(other))
        if self.device == other.device == "cpu":
            mine |= {"threads_per_worker": other.threads_per_worker}
        return [
            f"{name} {mine.get(name, 'absent')} there, {theirs.get(name, 'absent')} here"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


def numerics_of(annotators: tuple[AnnotatorConfig, ...], device: str, threads: int, batch_size: int) -> Numerics:
    """Collect the numerics of a run on this machine; ConfigError if a dtype is impossible on the device."""
    return Numerics(
        device=device,
        dtypes=dict(sorted((each.condition.value, each.resolved_dtype(device)) for each in annotators)),
        threads_per_worker=threads,
        batch_size=batch_size,
        versions={name: found for name in LIBRARIES if (found := _version(name))},
    )


def settled(config: AnnotatorConfig, numerics: Numerics) -> AnnotatorConfig:
    """Return an annotator's settings with the dtype that numerics name in place of "auto".

    "auto" is asked once for all workers; on another machine it may mean something else. Raises ConfigError if this
    machine has no such dtype, or the annotator takes another here, so that numerics never name one that was not used.
    """
    dtype = numerics.dtypes[config.condition]
    if dtype == NO_NETWORK:
        return config
    if isinstance(config, Settings) and "dtype" in type(config).model_fields:
        config = cast(AnnotatorConfig, changed(config, dtype=dtype))
    elif is_dataclass(config) and hasattr(config, "dtype"):
        config = cast(AnnotatorConfig, replace(config, dtype=dtype))
    here = config.resolved_dtype(numerics.device)
    if here != dtype:
        raise ConfigError(
            f"{config.condition} must run in {dtype} on every node, as its records say, got {here} on one; give its "
            "annotator the dtype that all nodes have"
        )
    return config


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _flat(fields: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
