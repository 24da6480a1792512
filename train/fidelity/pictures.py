"""The pictures that are measured, drawn by the pipeline's executors and kept as shards of a few samples each.

    rows of held-out samples ──FromHeldOut──> caption, image ──Painter──> OUT/pictures: shards/0000000.tar + record
                                                                          <key>.txt, <key>.real.png, <key>.with.png, ...

Invariant: a shard whose record is there is complete and is not drawn again, whoever draws the others, in any order.
"""

import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import PrepareConfig
from pipeline.dataset.ledger import make_folders, missing, remove_partials
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan, plan_shards
from pipeline.dataset.record import read_record
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.environment import Environment
from pipeline.execution.drive import drive
from pipeline.execution.origins import LoadedShard
from pipeline.execution.worker import Work
from stages.members import encode_conditions, read_crop
from stages.records import AnnotatedSample, EncodedSample, IndexRow, StoredSample
from stages.sources.index.schema import NO_KEYPOINTS
from train.fidelity.drawing import Drawing
from train.fidelity.held_out import HeldOut, HeldOutConfig

PICTURES = "pictures"
PICTURES_PER_SHARD = 8
"""Of each variant. Small, since an interruption loses the shards in flight and a picture may take a minute; and as many
as a GPU draws at once."""


@dataclass(frozen=True, slots=True)
class FromHeldOut:
    """The `Origin` of the pictures: held-out samples as they are stored, one for each picture of a variant."""

    held_out: HeldOutConfig

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Read the samples of the pictures [start, stop)."""
        opened = self.held_out.open()
        return LoadedShard(plan, tuple(_stored(opened, picture) for picture in range(plan.start, plan.stop)))

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        drawn = encode_conditions(sample)
        members = dict(drawn.members) | {"txt": sample.stored.caption.encode()}
        return EncodedSample(drawn.key, tuple(sorted(members.items())), drawn.width, drawn.height)


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of one evaluation, drawn or yet to be drawn."""

    out: Path
    drawing: Drawing
    fingerprint: str
    """Of all that decides them."""

    @property
    def home(self) -> Directory:
        """The directory of their shards and records."""
        return Directory(str(self.out.absolute() / PICTURES))

    def draw_missing(self, config: PrepareConfig, environment: Environment) -> None:
        """Draw the shards that are not there yet; `config` says how the work is spread.

        Raises ConfigError for what machine or cluster do not have, and what a worker met; shards that are there stay.
        """
        plans = plan_shards(self.drawing.held_out.open().pictures, PICTURES_PER_SHARD)
        make_folders(self.home)
        remove_partials(self.home)
        todo = missing(plans, self.home)
        if not todo:
            return
        try:
            with closing(environment.executor) as executor:
                # Not checked: drawing is no annotator that a configuration may name.
                numerics = executor.numerics(config.model_copy(update={"annotators": (self.drawing,)}))
                origin = FromHeldOut(self.drawing.held_out)
                work = Work(self.home, origin, (self.drawing,), self.fingerprint, numerics, environment.weights)
                drive(executor, len(plans), todo, work, environment.say)
        finally:
            remove_partials(self.home)

    def numerics(self) -> Numerics:
        """Those that the first pictures were drawn under."""
        return read_record(self.home, _shard_of(0).name).numerics

    def read(self, picture: int) -> dict[str, bytes]:
        """Read a picture of every variant and the caption, by member; ShardCorrupt if they are damaged."""
        plan = _shard_of(picture)
        record = read_record(self.home, plan.name)
        return read_sample(self.home, record, record.samples[picture - plan.start])


def place_in_tar(held_out: HeldOut, picture: int) -> str:
    """Name a picture as `pipeline`'s webdataset source does: its tar and its stem there."""
    return f"{_shard_of(picture).name}.tar/{held_out.picture_key(picture)}"


def _shard_of(picture: int) -> ShardPlan:
    number = picture // PICTURES_PER_SHARD
    return ShardPlan(number, number * PICTURES_PER_SHARD, (number + 1) * PICTURES_PER_SHARD)


def _stored(held_out: HeldOut, picture: int) -> StoredSample:
    members = held_out.members(held_out.sample_of(picture))
    crop, caption = read_crop(members["json"]), members["txt"].decode()
    row = IndexRow(
        key=held_out.picture_key(picture),
        image_uri="",
        captions=(caption,),
        source_url="",
        license="",
        width=0,
        height=0,
        keypoints=NO_KEYPOINTS,
        label_uri="",
        scores={},
        rejection=None,
    )
    return StoredSample(row, caption, members[held_out.sets[0].image_extension], b"", crop)
