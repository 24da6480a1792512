"""MMPose without compiled mmcv: import it, build its estimators, load its checkpoints; silently and without a network.

    placeholders()  ─>  import mmpose.models  ─>  build_estimator(config name)  ─>  load_estimator_weights(file)

mmpose names a few classes of packages that compile for 20 minutes or against NumPy 1 at module level and uses none of
them in the estimators here (RTMO, RTMPose, HRNet). Placeholders stand for them while mmpose is imported, and only for
those that cannot be imported: who has the real package gets the real package. Written against mmpose 1.3.2, mmengine
0.10.7 and mmcv-lite 2.2.0. Invariant: after `placeholders()`, `sys.modules` names no placeholder.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

from stages.errors import WeightsError
from stages.extras import needs
from stages.hardware.warning_filters import Ignored, warnings_ignored
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile

ConfigValue: TypeAlias = (
    "dict[str, ConfigValue] | list[ConfigValue] | tuple[ConfigValue, ...] | str | float | bool | None"
)

DROPPED_SETTINGS = frozenset({"init_cfg", "_scope_"})
"""`init_cfg` points at downloads. `_scope_ = "mmdet"` (RTMPose's backbone) names the same class in a package that need
not be there, and mmengine then prints four warnings before it takes mmpose's own."""

ALIASED = {f"xtcocotools{part}": f"pycocotools{part}" for part in ("", ".coco", ".cocoeval", ".mask")}
"""xtcocotools is a fork of pycocotools; mmpose's evaluation alone needs what it adds."""

DEPRECATIONS = (
    Ignored(category=FutureWarning, module=r"mmpose\."),
    Ignored(r"torch\.meshgrid: in an upcoming release", UserWarning),
)
"""What mmpose 1.3.2 calls in torch under its older names."""


@contextmanager
def placeholders() -> Iterator[None]:
    """Make mmpose importable within the context, whatever of mmcv.ops, mmdet and xtcocotools is missing.

    Raises ConfigError if mmpose itself, or another library of the extra "keypose", is not installed.
    """
    entered: list[str] = []
    # Of mmcv-lite and pkg_resources warnings come that the user cannot act upon.
    with warnings_ignored(Ignored()), needs("keypose"):
        try:
            for name, placeholder in _missing_modules():
                sys.modules[name] = placeholder
                entered.append(name)
            yield
        finally:
            for name in entered:
                del sys.modules[name]


def _missing_modules() -> Iterator[tuple[str, ModuleType]]:
    """Yield (name, placeholder) for each module that mmpose imports and this environment lacks."""
    if not _importable("mmcv.ops"):
        yield "mmcv.ops", _ModuleOfUnusableClasses("mmcv.ops")
    if not _importable("mmdet.utils"):
        utils = ModuleType("mmdet.utils")
        utils.ConfigType = dict  # type: ignore[attr-defined]
        utils.reduce_mean = _unusable  # type: ignore[attr-defined]
        package = ModuleType("mmdet")
        package.__path__ = []
        yield "mmdet", package
        yield "mmdet.utils", utils
    if not _importable("xtcocotools.coco"):
        for name, real_name in ALIASED.items():
            yield name, importlib.import_module(real_name)


def _importable(name: str) -> bool:
    """Import a module for good if that is possible; mmcv-lite has a folder `ops` that cannot be imported."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _unusable(*_arguments: object, **_settings: object) -> NoReturn:
    raise ImportError("this part of mmpose needs the compiled mmcv or mmdet; install the package mmcv or mmdet")


class _ModuleOfUnusableClasses(ModuleType):
    """Has every attribute: a class that raises ImportError when it is built."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": _unusable})


@dataclass(frozen=True, slots=True)
class Estimator:
    """A pose estimator of mmpose, and what its config says of its input."""

    network: Any
    """A torch.nn.Module in eval mode; of a class that mmpose gives no types for."""
    input_width: int
    input_height: int
    takes_rgb: bool
    """Of RGB images; else of BGR ones, as mmpose reads them."""
    mean: tuple[float, float, float]
    """Of the channels in the order that the network takes, on the scale 0 to 255."""
    std: tuple[float, float, float]


def deprecations_ignored() -> AbstractContextManager[None]:
    """Keep `DEPRECATIONS` off the terminal while the block runs."""
    return warnings_ignored(*DEPRECATIONS)


def configs_directory() -> Path:
    """Return where mmpose's configurations and metafiles of pose estimators lie; mmpose itself is not imported.

    The wheel of 1.3.2, the last release, holds them in this hidden folder, and no function that says so.
    """
    found = importlib.util.find_spec("mmpose")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("package mmpose must be installed, got no such package; run uv sync", name="mmpose")
    return Path(found.origin).parent / ".mim" / "configs" / "body_2d_keypoint"


def config_file(config_name: str) -> Path:
    """Return the file of a configuration, such as "rtmo/body7/rtmo-s_8xb32-600e_body7-640x640"."""
    return configs_directory() / f"{config_name}.py"


def build_estimator(config_name: str) -> Estimator:
    """Build a pose estimator with random weights, as a configuration of mmpose says (see `config_file`).

    Downloads and prints nothing.
    """
    with placeholders():
        import mmpose.models
        from mmengine.config import Config
        from mmengine.registry import DefaultScope

        config = Config.fromfile(config_file(config_name))
        with DefaultScope.overwrite_default_scope("mmpose"):
            network = mmpose.models.build_pose_estimator(_without_dropped(config.model.to_dict()))
    width, height = config.codec.input_size
    preprocessor = config.model.data_preprocessor
    # mmpose reads files as BGR: a network that has them turned into RGB takes RGB.
    takes_rgb = bool(preprocessor.get("bgr_to_rgb", False))
    return Estimator(
        network.eval().requires_grad_(False),
        width,
        height,
        takes_rgb,
        tuple(preprocessor.mean),
        tuple(preprocessor.std),
    )


def batch_norms(network: Any) -> Iterator[Any]:
    """Yield the batch norms of an estimator; RTMPose's are those that several GPUs would share."""
    from torch import nn

    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
            yield layer


def _without_dropped(value: ConfigValue) -> ConfigValue:
    if isinstance(value, dict):
        return {key: _without_dropped(item) for key, item in value.items() if key not in DROPPED_SETTINGS}
    if isinstance(value, list | tuple):
        return type(value)(_without_dropped(item) for item in value)
    return value


def load_estimator_weights(estimator: Estimator, file: WeightsFile) -> None:
    """Load a checkpoint of OpenMMLab, of mmpose 0.x or 1.x, into its estimator.

    Every trained tensor must be in the file; constants that mmpose computes when it builds the estimator need not be,
    and what only training uses is passed over. Raises WeightsError.
    """
    network = estimator.network
    state = load_state_dict(file)
    trained = {name for name, _ in network.named_parameters()}
    trained |= {name for name, _ in network.named_buffers() if name.endswith(("running_mean", "running_var"))}
    try:
        missing = trained.intersection(network.load_state_dict(state, strict=False).missing_keys)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"weights {file.path} must be those of this network, got {reason}; give another file"
        ) from error
    if missing:
        raise WeightsError(
            f"weights {file.path} must hold all {len(trained)} tensors of this network, got a file without "
            f"{len(missing)} of them ({min(missing)}, ...); give another file"
        )
