"""The samples that an evaluation measures: the first ones of a data set that have every condition of its adapters.

    HeldOutConfig ──open──> HeldOut: sample n ──> key, members, with those of every condition's layer
                                     picture p ──> sample p // pictures_per_caption, and a name of its own

The config is a reference of a few bytes and travels to the workers. Invariant: opened anywhere, it is the same samples
in the same order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.dataset.storage import Directory
from stages.records import Condition
from train.data.training_set import Joined, TrainingSet


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample lies in a data set."""

    shard: str
    position: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Opened samples; their members are read when they are needed."""

    sets: tuple[TrainingSet, ...]
    """The data set, opened once for each condition."""
    keys: tuple[str, ...]
    places: tuple[tuple[Place, ...], ...]
    """Of each sample, in each of the sets."""
    pictures_per_caption: int

    @property
    def samples(self) -> int:
        return len(self.keys)

    @property
    def pictures(self) -> int:
        return self.samples * self.pictures_per_caption

    @property
    def size_pixels(self) -> tuple[int, int]:
        """Width and height of the images."""
        return self.sets[0].size_pixels

    def members(self, sample: int) -> dict[str, bytes]:
        """Read a sample; ShardCorrupt if it is damaged."""
        found: dict[str, bytes] = {}
        for data, place in zip(self.sets, self.places[sample], strict=True):
            found |= data.read(place.shard, place.position)[1]
        return found

    def sample_of(self, picture: int) -> int:
        return picture // self.pictures_per_caption

    def pictures_of(self, sample: int) -> range:
        return range(sample * self.pictures_per_caption, (sample + 1) * self.pictures_per_caption)

    def picture_key(self, picture: int) -> str:
        """Name a picture: its sample's key, numbered if the sample has several."""
        key = self.keys[self.sample_of(picture)]
        return key if self.pictures_per_caption == 1 else f"{key}-{picture % self.pictures_per_caption}"


@dataclass(frozen=True, slots=True)
class HeldOutConfig:
    """Which samples."""

    data: str
    """A finished data set."""
    conditions: tuple[Condition, ...]
    most: int
    """So many samples, or all if there are fewer."""
    pictures_per_caption: int = 1

    def open(self) -> HeldOut:
        """Find the samples; raises what `TrainingSet` raises."""
        first, *others = (TrainingSet(Directory(self.data), each, use_latents=False) for each in self.conditions)
        keys: list[str] = []
        places: list[tuple[Place, ...]] = []
        elsewhere = [{joined.name: joined for joined in data.shards(0)} for data in others]
        for joined in first.shards(0):
            if len(keys) == self.most:
                break
            found = [
                dict(placed(data, shards[joined.name])) if joined.name in shards else {}
                for data, shards in zip(others, elsewhere, strict=True)
            ]
            for key, place in placed(first, joined):
                if len(keys) < self.most and all(key in each for each in found):
                    keys.append(key)
                    places.append((place, *(each[key] for each in found)))
        return HeldOut((first, *others), tuple(keys), tuple(places), self.pictures_per_caption)


def placed(data: TrainingSet, joined: Joined) -> Iterator[tuple[str, Place]]:
    """Yield the key and the place of every sample of a shard, in order."""
    for position, key in enumerate(data.keys(joined.name)):
        yield key, Place(joined.name, position)
