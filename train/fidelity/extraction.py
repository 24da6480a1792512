"""The conditions of the measured pictures, extracted by the pipeline that made the data set.

    OUT/pictures/with/*.{png,txt} ──folder source, image format and annotator of DATASET──> OUT/with, a data set

Invariant: every variant goes through the same file format, the same annotator and the same weights as the data set's
own images did, so that what is measured is the picture and not the way to its condition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import PrepareConfig, check_config
from pipeline.executor import Executor
from pipeline.run import prepare, resolve_models
from pipeline.storage import Directory
from stages.errors import ConfigError
from stages.records import Condition
from stages.sources.names import hashed_key
from stages.weights import WeightsStore
from train.data import TrainingSet
from train.fidelity.measures import Fidelity, Members
from train.fidelity.pictures import PICTURES, HeldOut, Variant

IMAGE_SETTINGS = ("size_pixels", "format", "quality")
"""Of `[image]`: the others choose and cut originals, and these pictures have the right size already."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """How the pictures of an evaluation become data sets."""

    data: TrainingSet
    fidelity: Fidelity
    out: Path
    device: str
    executor: Callable[[], Executor]
    """Makes a new one: `prepare` ends the one that it was given."""
    weights: WeightsStore
    say: Callable[[str], None]

    def check(self) -> None:
        """Find the weights; WeightsError if they are missing, ConfigError if the data set was made with others."""
        found = resolve_models(self._config(Variant.REAL), self.weights)
        for model in self.data.condition.models:
            if model.name in found and found[model.name].sha256 != model.sha256:
                raise ConfigError(
                    f"--data {self.data.directory} must be extracted again by the {model.name} that made it, "
                    f"{model.sha256[:12]}, got {found[model.name].sha256[:12]}; give its weights"
                )

    def make(self, variant: Variant) -> TrainingSet:
        """Make the data set OUT/<variant>, or go on with it; raises what `pipeline.run.prepare` raises."""
        config = self._config(variant)
        directory = Directory(str(self.out.absolute() / variant))
        prepare(config, directory, self.executor(), self.weights, self.say)
        return TrainingSet(directory, Condition(config.annotators[0].condition), use_latents=False)

    def _config(self, variant: Variant) -> PrepareConfig:
        manifest = self.data.manifest
        root = self.out.absolute() / PICTURES / variant
        tables = {
            "name": f"{manifest.name}-{variant}",
            "source": {"kind": "folder", "root": str(root), "split": manifest.split},
            "image": {name: manifest.config["image"][name] for name in IMAGE_SETTINGS},
            "annotators": [self.fidelity.annotator],
            "execution": {"device": self.device},
        }
        return check_config(tables, f"{self.data.directory}/dataset.json", PrepareConfig)


def extracted(made: TrainingSet, held_out: HeldOut) -> list[tuple[str, int]]:
    """Find each held-out sample in a data set of pictures: its shard and position there, in the order of `held_out`.

    Raises ConfigError if the data set lacks one, which an annotator of the data set's own settings may reject.
    """
    places = {}
    for shard in made.shards(0):
        for position in range(shard.samples):
            key, _ = made.read(shard.name, position)
            places[key] = (shard.name, position)
    found = []
    for number in range(len(held_out)):
        key, _ = held_out[number]
        name = hashed_key(f"{key}.png")  # as the folder source names a file
        if name not in places:
            raise ConfigError(
                f"{made.directory} must have all {len(held_out)} pictures, got none of {key}; see its rejected.jsonl"
            )
        found.append(places[name])
    return found


def members_of(made: TrainingSet, place: tuple[str, int]) -> Members:
    """Read a sample's members."""
    return made.read(*place)[1]
