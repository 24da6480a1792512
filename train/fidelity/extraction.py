"""The conditions of the measured pictures, extracted by the pipeline that made the data set.

    OUT/pictures/shards/*.tar: <key>.with.png ──webdataset source, image format and annotators of DATASET──> OUT/with

Invariant: every variant goes through the same file format, the same annotators and the same weights as the data set's
own images did, so that what is measured is the picture and not the way to its condition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import ExecutionConfig, PrepareConfig, check_config
from pipeline.dataset.record import SHARDS
from pipeline.dataset.storage import Directory
from pipeline.environment import Environment
from pipeline.layer import base_config
from pipeline.run import prepare, resolve_models
from stages.errors import ConfigError
from stages.records import Condition
from stages.settings import plain
from stages.sources.index.names import hashed_key
from train.data.training_set import TrainingSet
from train.fidelity.drawing import member_of
from train.fidelity.held_out import HeldOut, Place, placed
from train.fidelity.measures.measures import Fidelity, Members
from train.fidelity.pictures import Pictures, place_in_tar
from train.fidelity.variants import Variant

IMAGE_SETTINGS = ("size_pixels", "format", "quality")
"""Of `[image]`: the others choose and cut originals, and these pictures have the right size already."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """How the pictures of an evaluation become data sets."""

    held_out: HeldOut
    fidelities: Sequence[Fidelity]
    """Of each of the held-out samples' conditions."""
    pictures: Pictures
    execution: ExecutionConfig
    environment: Environment

    def check(self) -> None:
        """Find the weights; WeightsError if they are missing, ConfigError if the data set was made with others."""
        found = resolve_models(self.config(self.pictures.drawing.variants[0]), self.environment.weights)
        for model in (model for data in self.held_out.sets for model in data.condition.models):
            if model.name in found and found[model.name].sha256 != model.sha256:
                raise ConfigError(
                    f"--data {self.pictures.drawing.held_out.data} must be extracted again by the {model.name} that "
                    f"made it, {model.sha256[:12]}, got {found[model.name].sha256[:12]}; give its weights"
                )

    def make(self, variant: Variant) -> TrainingSet:
        """Make the data set OUT/<variant>, or go on with it; raises what `pipeline.run.prepare` raises."""
        config = self.config(variant)
        directory = Directory(str(self.pictures.out.absolute() / variant.name))
        prepare(config, directory, self.environment)
        return TrainingSet(directory, Condition(config.annotators[0].condition), use_latents=False)

    def config(self, variant: Variant) -> PrepareConfig:
        """The configuration of a variant's data set."""
        held_out = self.held_out.sets[0]
        manifest, made = held_out.manifest, base_config(held_out.directory, held_out.manifest)
        tables = {
            "name": f"{manifest.name}-{variant.name}",
            "source": {
                "kind": "webdataset",
                "root": (self.pictures.home / SHARDS).location,
                "split": manifest.split,
                "image_extensions": [member_of(variant)],
            },
            "image": {name: value for name, value in plain(made.image).items() if name in IMAGE_SETTINGS},
            "annotators": self._annotators(),
            "execution": plain(self.execution),
        }
        return check_config(tables, f"{self.pictures.drawing.held_out.data}/dataset.json", PrepareConfig)

    def _annotators(self) -> list[dict[str, Any]]:
        """One table of each kind; a condition's own goes before one that only stands in for an annotator."""
        conditions = self.pictures.drawing.held_out.conditions
        pairs = zip(conditions, self.fidelities, strict=True)
        tables: dict[str, dict[str, Any]] = {}
        for _, fidelity in sorted(pairs, key=lambda pair: pair[0] != pair[1].annotator["kind"]):
            tables.setdefault(fidelity.annotator["kind"], fidelity.annotator)
        return list(tables.values())


def extracted(made: TrainingSet, held_out: HeldOut) -> list[Place]:
    """Find each picture in the data set of a variant, in their order.

    Raises ConfigError if the data set lacks one, which an annotator of the data set's own settings may reject.
    """
    places = {key: place for shard in made.shards(0) for key, place in placed(made, shard)}
    found = []
    for picture in range(held_out.pictures):
        key = hashed_key(place_in_tar(held_out, picture))
        if key not in places:
            raise ConfigError(
                f"{made.directory} must have all {held_out.pictures} pictures, got none for "
                f"{held_out.picture_key(picture)}; see its rejected.jsonl"
            )
        found.append(places[key])
    return found


def members_of(made: TrainingSet, place: Place) -> Members:
    """Read a sample's members."""
    return made.read(place.shard, place.position)[1]
