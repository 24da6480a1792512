"""The configuration of `condset prepare`: one TOML file, frozen tables, one-line errors.

file.toml ──tomllib──> tables ──--set key=value──> tables ──pydantic──> PrepareConfig | ConfigError
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from stages.annotators.keypose.annotator import KeyposeConfig
from stages.errors import ConfigError
from stages.image.crop import ImageConfig
from stages.registry import AnyAnnotator, AnySource
from stages.setting_errors import describe_errors
from stages.settings import Settings
from stages.web.config import FetchConfig


class ExecutionConfig(Settings):
    """How the work is spread over the machine; nothing here changes which data set is made."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that the networks run on."""
    workers: int = Field(default=0, ge=0)
    """Number of workers, each with all networks of the data set; 0 is one for each GPU, or what the CPUs allow."""
    threads_per_worker: int = Field(default=0, ge=0)
    """On a CPU, images that a worker works on at once, each with one thread; beside a GPU, threads that decode and
    encode. 0 is all cores of a node, at most 8."""
    cpus_per_worker: float = Field(default=0, ge=0)
    """CPUs that Ray sets aside for an annotating worker; 0 divides what loading leaves."""
    gpus_per_worker: float = Field(default=0, ge=0)
    """The share of a GPU that Ray sets aside for a worker; 0 is one whole GPU on CUDA."""
    cpus_per_load: float = Field(default=0.5, gt=0)
    """CPUs that Ray sets aside for a task that fetches, decodes and crops one shard."""
    batch_size: int = Field(default=0, ge=0)
    """Images in one call of a network; 0 is 1 on a CPU, where larger ones are slower, and 16 on CUDA."""


class PrepareConfig(Settings):
    """One data set: where its images come from, how they are cut and what is computed from them."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The data set's name, in its card and manifest."""
    samples_per_shard: int = Field(default=1000, ge=1)
    """Rows of the index in one shard; rejected ones count."""
    max_rejected_fraction: float = Field(default=0.05, ge=0, le=1)
    """The share of a shard's rows that may be lost to what an outage gives before the run stops."""
    limit: int = Field(default=0, ge=0)
    """Take only the first rows of the source; 0 takes all."""
    seed: int = 0
    """Every random choice is drawn from (seed, purpose, key)."""
    source: AnySource
    fetch: FetchConfig = FetchConfig()
    image: ImageConfig = ImageConfig()
    annotators: tuple[AnyAnnotator, ...]
    """What is computed from each image; `annotators = []` stores images and captions alone."""
    execution: ExecutionConfig = ExecutionConfig()


def refuse_missing_keypoints(config: PrepareConfig) -> None:
    """Raise ConfigError if an annotator draws the annotated persons and the source has none: all would be black."""
    takes_them = any(isinstance(each, KeyposeConfig) and each.from_ == "annotations" for each in config.annotators)
    if takes_them and (why := config.source.lacks_keypoints):
        raise ConfigError(f'keypose from = "annotations" must have a source with annotated persons, got {why}')


AnyConfig = TypeVar("AnyConfig", bound=Settings)


def load_config(path: Path, overrides: Sequence[str], model: type[AnyConfig]) -> AnyConfig:
    """Read a TOML file, apply `table.key=value` overrides (TOML values) and check it against `model`.

    Raises ConfigError naming the file and the setting, what was expected and what was got.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{path} must be a configuration file, got none; see configs/ for complete ones") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be TOML, got {error}") from None
    for override in overrides:
        _apply(tables, override)
    return check_config(tables, str(path), model)


def check_config(tables: dict[str, Any], where: str, model: type[AnyConfig]) -> AnyConfig:
    """Check tables against a model; ConfigError names `where` and every wrong setting."""
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(f"{where} {describe_errors(error)}") from None


def _apply(tables: dict[str, Any], override: str) -> None:
    """Set one `table.key=value`; a list's entries are numbered: annotators.0.dtype="float32"."""
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set must be table.key=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word: --set source.root=data/coco17
    *parents, last = path.strip().split(".")
    table: Any = tables
    for parent in parents:
        table = _step(table, parent, override)
    if isinstance(table, list):
        table[_position(table, last, override)] = value
    else:
        table[last] = value


def _step(table: Any, name: str, override: str) -> Any:
    if isinstance(table, list):
        return table[_position(table, name, override)]
    inner = table.setdefault(name, {})
    if not isinstance(inner, dict | list):
        raise ConfigError(f"--set {override!r} must name a table, got {name} which is a value")
    return inner


def _position(table: list[Any], name: str, override: str) -> int:
    if not (name.isdecimal() and int(name) < len(table)):
        raise ConfigError(f"--set {override!r} must number one of {len(table)} entries from 0, got {name!r}")
    return int(name)
