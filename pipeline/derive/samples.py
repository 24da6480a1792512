"""What every way of making a data set of another one needs: samples as they are, and the weights behind them."""

from collections.abc import Iterable

from pipeline.dataset.conditions import ConditionEntry
from pipeline.dataset.sample import Sample
from pipeline.dataset.storage import Directory
from stages.errors import ConfigError
from stages.locations import file_system
from stages.records import EncodedSample


def encoded(sample: Sample) -> EncodedSample:
    """Take a sample's files as they are."""
    crop = sample.crop
    return EncodedSample(sample.key, tuple(sorted(sample.files.items())), crop.stored_width, crop.stored_height)


def refuse_same_place(base: Directory, out: Directory) -> None:
    """Raise ConfigError if OUT is the data set itself or lies in it: it would be one of its files."""
    here, there = (f"{str(file_system(each.location)[1]).rstrip('/')}/" for each in (base, out))
    if there.startswith(here):
        raise ConfigError(f"--out {out} must lie outside of {base}, got a place in it; give another --out")


def weights_sha256(entries: Iterable[ConditionEntry]) -> dict[str, str]:
    """The hashes of all weights that conditions were made with, by the networks' names."""
    return {model.name: model.sha256 for entry in entries for model in entry.models}
