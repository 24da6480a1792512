"""Numerics: everything besides the inputs that may change the last bit of a result.

Equal inputs under equal numerics give equal bytes. They are stored in each shard's record, so that a resume under
others (float32 sums of one torch differ from those of another in a few pixels) is noticed and said.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from stages.annotators.protocol import AnnotatorConfig

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
