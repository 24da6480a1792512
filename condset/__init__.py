"""condset: image-caption collections in, (image, caption, condition) data sets out.

    import condset

    data = condset.open_dataset("OUT")                  # a path, or any URL that fsspec has a driver for
    sample = data[0]                                    # or data["000000000139"], or for sample in data
    sample.image(), sample.caption, sample.condition("sketch")
    torch.utils.data.DataLoader(data.torch("sketch"), batch_size=8, shuffle=True)

Everything that a program or a plug-in needs is here; what lies in `stages`, `pipeline` and `train` may move. Nothing is
imported before it is asked for.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import PrepareConfig, load_config
    from pipeline.dataset.reader import Dataset, TorchView, open_dataset
    from pipeline.dataset.sample import Sample
    from pipeline.run import prepare
    from stages.annotators.condition import (
        ConditionSpec,
        Encoding,
        Exact,
        Member,
        Mirror,
        MirrorKind,
        Resize,
        Within,
        picture_member,
    )
    from stages.annotators.protocol import Annotator, AnnotatorConfig
    from stages.errors import (
        CheckpointError,
        CondsetError,
        ConfigError,
        DirectoryInUse,
        ManifestError,
        NonFiniteLoss,
        ShardConflict,
        ShardCorrupt,
        SourceError,
        StorageError,
        TooManyRejected,
        WeightsError,
        WorkerError,
    )
    from stages.records import (
        ArrayMember,
        ConditionMembers,
        ImageMember,
        IndexRow,
        LoadedSample,
        Reason,
        Rejection,
    )
    from stages.settings import Mark, Settings
    from stages.sources.protocol import Source
    from stages.weights.store import WeightsStore

_HOMES = {
    "pipeline.config": ("PrepareConfig", "load_config"),
    "pipeline.dataset.reader": ("Dataset", "TorchView", "open_dataset"),
    "pipeline.dataset.sample": ("Sample",),
    "pipeline.run": ("prepare",),
    "stages.annotators.condition": (
        "ConditionSpec",
        "Encoding",
        "Exact",
        "Member",
        "Mirror",
        "MirrorKind",
        "Resize",
        "Within",
        "picture_member",
    ),
    "stages.annotators.protocol": ("Annotator", "AnnotatorConfig"),
    "stages.errors": (
        "CheckpointError",
        "CondsetError",
        "ConfigError",
        "DirectoryInUse",
        "ManifestError",
        "NonFiniteLoss",
        "ShardConflict",
        "ShardCorrupt",
        "SourceError",
        "StorageError",
        "TooManyRejected",
        "WeightsError",
        "WorkerError",
    ),
    "stages.records": (
        "ArrayMember",
        "ConditionMembers",
        "ImageMember",
        "IndexRow",
        "LoadedSample",
        "Reason",
        "Rejection",
    ),
    "stages.settings": ("Mark", "Settings"),
    "stages.sources.protocol": ("Source",),
    "stages.weights.store": ("WeightsStore",),
}
"""The module of each public name."""
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Annotator",
    "AnnotatorConfig",
    "ArrayMember",
    "CheckpointError",
    "ConditionMembers",
    "ConditionSpec",
    "CondsetError",
    "ConfigError",
    "Dataset",
    "DirectoryInUse",
    "Encoding",
    "Exact",
    "ImageMember",
    "IndexRow",
    "LoadedSample",
    "ManifestError",
    "Mark",
    "Member",
    "Mirror",
    "MirrorKind",
    "NonFiniteLoss",
    "PrepareConfig",
    "Reason",
    "Rejection",
    "Resize",
    "Sample",
    "Settings",
    "ShardConflict",
    "ShardCorrupt",
    "Source",
    "SourceError",
    "StorageError",
    "TooManyRejected",
    "TorchView",
    "WeightsError",
    "WeightsStore",
    "Within",
    "WorkerError",
    "__version__",
    "load_config",
    "open_dataset",
    "picture_member",
    "prepare",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for."""
    if name == "__version__":
        return version("condset")
    if name not in _HOME_OF:
        raise AttributeError(f"module condset has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
