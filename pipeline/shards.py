"""Shards on disk: the tar, and the record that commits it.

    outcomes ──> shards/0000000.tar (complete, synced, renamed) ──then──> shards/0000000.json (the same way)

A shard exists if its record does. The tar is plain ustar with zero times and owners, so equal samples give equal bytes.
The record's offsets give random access into the tar: [offset, offset + bytes) is itself a readable run of tar members.
"""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import BinaryIO

from pipeline.numerics import Numerics
from pipeline.plan import ShardPlan
from pipeline.storage import Directory
from stages.errors import ShardCorrupt
from stages.records import EncodedSample, Reason, Rejection

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
        fields = asdict(self)
        fields["samples"] = [list(asdict(sample).values()) for sample in self.samples]
        fields["rejected"] = [[each.key, each.reason.value, each.detail] for each in self.rejected]
        return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, where: str) -> "ShardRecord":
        """Read a record back; ShardCorrupt naming `where` if it is not one."""
        try:
            fields = json.loads(content)
            samples = tuple(SampleEntry(*entry) for entry in fields.pop("samples"))
            rejected = tuple(Rejection(key, Reason(reason), detail) for key, reason, detail in fields.pop("rejected"))
            numerics = Numerics(**fields.pop("numerics"))
            return cls(samples=samples, rejected=rejected, numerics=numerics, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardCorrupt(
                f"{where} must be a shard's record, got {error!r}; delete it and prepare again to remake the shard"
            ) from None


def read_record(shards: Directory, name: str) -> ShardRecord:
    """Read the record of shard `name` ("0000000"); FileNotFoundError if it is not committed."""
    return ShardRecord.from_json(shards.read(name + RECORD_SUFFIX), f"{shards / name}{RECORD_SUFFIX}")


def commit_shard(
    shards: Directory,
    plan: ShardPlan,
    fingerprint: str,
    numerics: Numerics,
    outcomes: Sequence[EncodedSample | Rejection],
    base_sha256: str = "",
) -> ShardRecord:
    """Write the tar, then the record; either step may run twice and gives the same bytes."""
    samples = [outcome for outcome in outcomes if isinstance(outcome, EncodedSample)]
    rejected = tuple(outcome for outcome in outcomes if isinstance(outcome, Rejection))
    tar, sha256, size, entries = "", "", 0, []
    if samples:
        tar = f"{plan.name}.tar"
        with shards.create(tar) as file:
            hashing = _HashingFile(file)
            entries = _write_tar(hashing, samples)
            sha256, size = hashing.hash.hexdigest(), hashing.position
    record = ShardRecord(
        name=plan.name,
        plan=plan.digest(fingerprint),
        start=plan.start,
        stop=plan.stop,
        tar=tar,
        tar_sha256=sha256,
        tar_bytes=size,
        numerics=numerics,
        samples=tuple(entries),
        rejected=rejected,
        base_sha256=base_sha256,
    )
    shards.write(plan.name + RECORD_SUFFIX, record.to_json())
    return record


def read_sample(shards: Directory, record: ShardRecord, entry: SampleEntry) -> dict[str, bytes]:
    """Read one sample's members, extension to bytes, without reading the rest of the tar.

    Raises ShardCorrupt, naming shard and key, if the record's offsets do not lead to that sample.
    """
    where = f"{shards / record.tar} sample {entry.key}"
    try:
        content = shards.read_range(record.tar, entry.offset, entry.bytes)
    except FileNotFoundError:
        raise ShardCorrupt(f"{where} must be in the tar, got no tar; delete the record and prepare again") from None
    return parse_sample(content, entry, where)


def parse_sample(content: bytes, entry: SampleEntry, where: str) -> dict[str, bytes]:
    """Read the run of tar members that an entry points at; ShardCorrupt, naming `where`, if it is not that sample."""
    mend = "prepare the shard again"
    if zlib.crc32(content) != entry.crc32:
        raise ShardCorrupt(f"{where} must have crc32 {entry.crc32:08x}, got {zlib.crc32(content):08x}; {mend}")
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for info in tar:
                key, _, extension = info.name.partition(".")
                file = tar.extractfile(info)
                if key != entry.key or file is None or extension in members:
                    raise ShardCorrupt(f"{where} must have only its own members, got {info.name}; {mend}")
                members[extension] = file.read()
    except tarfile.TarError as error:
        raise ShardCorrupt(f"{where} must be a run of tar members, got {error}; {mend}") from None
    return members


def _write_tar(file: "_HashingFile", samples: Sequence[EncodedSample]) -> list[SampleEntry]:
    entries = []
    for sample in samples:
        run = b"".join(_member(f"{sample.key}.{extension}", content) for extension, content in sample.members)
        crc32 = zlib.crc32(run)
        entries.append(SampleEntry(sample.key, file.position, len(run), sample.width, sample.height, crc32))
        file.write(run)
    file.write(bytes(2 * tarfile.BLOCKSIZE))
    file.write(bytes(-file.position % tarfile.RECORDSIZE))
    return entries


def _member(name: str, content: bytes) -> bytes:
    """One file of a tar: header, content, padding. Times and owners stay at TarInfo's zeros."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


class _HashingFile:
    """Counts and hashes what is written, so that the tar is never read back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.position = 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.hash.update(content)
        self.position += len(content)
