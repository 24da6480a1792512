"""The record of a shard: what the shard holds, row by row, and the commit of it.

    OUT/shards/0000000.tar <──names, hashes── OUT/records/0000000.json      a shard exists if its record does

The offsets give random access into the tar: [offset, offset + bytes) is itself a readable run of tar members. Reasons
of rejections are written from `Reason` and read as text: a newer condset may know others.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from pipeline.dataset.numerics import Numerics
from pipeline.dataset.storage import Directory
from stages.errors import ShardCorrupt
from stages.records import IndexRow, Rejection

SHARDS = "shards"
"""The folder of a data set's or a layer's tars; nothing else lies in it."""
RECORDS = "records"
"""The folder of their records."""
RECORD_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class SampleEntry:
    """Where one sample lies in its tar."""

    key: str
    offset: int
    bytes: int
    width: int
    height: int
    crc32: int
    """Of those bytes: tells which sample of a damaged tar is the damaged one."""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What a shard holds: the commit, and all that the manifest is derived from."""

    name: str
    plan: str
    """The digest of the plan: this data set's fingerprint and the rows."""
    start: int
    stop: int
    tar: str
    """The tar's file name; empty if every sample was rejected."""
    tar_sha256: str
    tar_bytes: int
    numerics: Numerics
    samples: tuple[SampleEntry, ...]
    rejected: tuple[Rejection, ...]
    base_sha256: str = ""
    """In a layer: of the base shard's record, which the samples here belong to; empty in a data set's own shards."""

    def to_json(self) -> bytes:
        fields = asdict(replace(self, samples=(), rejected=()))  # of thousands of samples asdict would take long
        fields["samples"] = [[e.key, e.offset, e.bytes, e.width, e.height, e.crc32] for e in self.samples]
        fields["rejected"] = [[each.key, str(each.reason), each.detail] for each in self.rejected]
        return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, where: str) -> "ShardRecord":
        """Read a record back; ShardCorrupt naming `where` if it is not one."""
        try:
            fields = json.loads(content)
            samples = tuple(SampleEntry(*entry) for entry in fields.pop("samples"))
            rejected = tuple(Rejection(*entry) for entry in fields.pop("rejected"))
            numerics = Numerics(**fields.pop("numerics"))
            return cls(samples=samples, rejected=rejected, numerics=numerics, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardCorrupt(
                f"{where} must be a shard's record, got {error!r}; delete it and prepare again to make the "
                "shard anew, unless a newer condset has written it: read it with that one"
            ) from None


def record_file(name: str) -> str:
    """The path of the record of shard `name` ("0000000") in its data set or layer."""
    return f"{RECORDS}/{name}{RECORD_SUFFIX}"


def read_record(home: Directory, name: str) -> ShardRecord:
    """Read the record of shard `name` of a data set or a layer; FileNotFoundError if it is not committed."""
    return read_bound_record(home, name)[0]


def read_bound_record(home: Directory, name: str) -> tuple[ShardRecord, str]:
    """Read a record and its sha256, by which a layer's records are bound to it; raises what `read_record` raises."""
    content = home.read(record_file(name))
    return ShardRecord.from_json(content, str(home / record_file(name))), hashlib.sha256(content).hexdigest()


def outcomes_of(record: ShardRecord, rows: Sequence[IndexRow]) -> Iterator[SampleEntry | Rejection]:
    """Yield what became of each row of a shard, in order; ShardCorrupt if the record does not account for it.

    A key may be there twice, as a sample and as the rejection of its duplicate: the order tells them apart.
    """
    samples, rejected = deque(record.samples), deque(record.rejected)
    for row in rows:
        if row.rejection is None and samples and samples[0].key == row.key:
            yield samples.popleft()
        elif rejected and rejected[0].key == row.key:
            yield rejected.popleft()
        else:
            raise ShardCorrupt(
                f"shard {record.name} must account for key {row.key} in the order of the index, got something else; "
                "delete its record and prepare again"
            )
