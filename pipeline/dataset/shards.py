"""Shards on disk: the tar, and the record that commits it.

    outcomes ──> shards/0000000.tar (complete, synced, renamed) ──then──> shards/0000000.json (the same way)

A shard exists if its record does. The tar is plain ustar with zero times and owners, so equal samples give equal bytes.
The record's offsets give random access into the tar: [offset, offset + bytes) is itself a readable run of tar members.

    a retry:  0000000.r1.tar (kept and new samples) ──then──> 0000000.json names it ──then──> 0000000.tar is removed
"""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO, TypeAlias, TypeVar

from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.storage import Directory
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


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a committed shard is made again from, with more samples."""

    former: ShardRecord
    """The record that is there; its tar holds the samples that are kept."""
    tar: str
    """The file name of the tar that takes its tar's place."""


Outcome: TypeAlias = EncodedSample | SampleEntry | Rejection
"""What became of a row; a `SampleEntry` is a sample that is kept as it lies in the former tar."""


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
    record = ShardRecord(
        name=plan.name,
        plan=plan.digest(fingerprint),
        start=plan.start,
        stop=plan.stop,
        tar="",
        tar_sha256="",
        tar_bytes=0,
        numerics=numerics,
        samples=(),
        rejected=tuple(outcome for outcome in outcomes if isinstance(outcome, Rejection)),
        base_sha256=base_sha256,
    )
    samples = [outcome for outcome in outcomes if isinstance(outcome, EncodedSample)]
    if samples:
        record = _with_tar(record, shards, f"{plan.name}.tar", samples, _run)
    shards.write(plan.name + RECORD_SUFFIX, record.to_json())
    return record


def recommit_shard(
    shards: Directory, replacement: Replacement, numerics: Numerics, outcomes: Sequence[Outcome]
) -> ShardRecord:
    """Write the new tar, then the record that names it, then remove the former tar.

    A kill at any instant leaves the one record with its tar or the other with its own; `replaced_tars` finds what lies
    about besides. Nothing happens if an attempt that was given up for lost has got this far already. Without a new
    sample the former tar stays. The record keeps the numerics of the samples that it keeps. Raises ShardCorrupt, naming
    the sample, if one to be kept is damaged.
    """
    former = replacement.former
    there = read_record(shards, former.name)
    if there.tar == replacement.tar:
        return there
    record = replace(former, rejected=tuple(outcome for outcome in outcomes if isinstance(outcome, Rejection)))
    samples = [outcome for outcome in outcomes if not isinstance(outcome, Rejection)]
    if any(isinstance(sample, EncodedSample) for sample in samples):

        def run(sample: EncodedSample | SampleEntry) -> bytes:
            if isinstance(sample, EncodedSample):
                return _run(sample)
            kept = _read_run(shards, former, sample)
            parse_sample(kept, sample, _place(shards, former, sample))  # what is damaged is not committed anew
            return kept

        record = _with_tar(record, shards, replacement.tar, samples, run)
    if not former.samples:
        record = replace(record, numerics=numerics)
    shards.write(record.name + RECORD_SUFFIX, record.to_json())
    if former.tar not in ("", record.tar):
        shards.remove(former.tar)
    return record


def read_sample(shards: Directory, record: ShardRecord, entry: SampleEntry) -> dict[str, bytes]:
    """Read one sample's members, extension to bytes, without reading the rest of the tar.

    Raises ShardCorrupt, naming shard and key, if the record's offsets do not lead to that sample.
    """
    return parse_sample(_read_run(shards, record, entry), entry, _place(shards, record, entry))


def parse_sample(content: bytes, entry: SampleEntry, where: str) -> dict[str, bytes]:
    """Read the run of tar members that an entry points at; ShardCorrupt, naming `where`, if it is not that sample."""
    fix = "prepare the shard again"
    if zlib.crc32(content) != entry.crc32:
        raise ShardCorrupt(f"{where} must have crc32 {entry.crc32:08x}, got {zlib.crc32(content):08x}; {fix}")
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for info in tar:
                if not info.isreg():
                    raise ShardCorrupt(f"{where} must have only files, got {info.name} which is none; {fix}")
                key, _, extension = info.name.partition(".")
                file = tar.extractfile(info)
                if key != entry.key or file is None or extension in members:
                    raise ShardCorrupt(f"{where} must have only its own members, got {info.name}; {fix}")
                members[extension] = file.read()
    except tarfile.TarError as error:
        raise ShardCorrupt(f"{where} must be a run of tar members, got {error}; {fix}") from None
    return members


def _read_run(shards: Directory, record: ShardRecord, entry: SampleEntry) -> bytes:
    try:
        return shards.read_range(record.tar, entry.offset, entry.bytes)
    except FileNotFoundError:
        where = _place(shards, record, entry)
        raise ShardCorrupt(f"{where} must be in the tar, got no tar; delete the record and prepare again") from None


def _place(shards: Directory, record: ShardRecord, entry: SampleEntry) -> str:
    return f"{shards / record.tar} sample {entry.key}"


Sample = TypeVar("Sample", bound=EncodedSample | SampleEntry)


def _with_tar(
    record: ShardRecord, shards: Directory, tar: str, samples: Sequence[Sample], run_of: Callable[[Sample], bytes]
) -> ShardRecord:
    """Write a tar of the runs of samples, one in memory at a time, and return the record with it."""
    entries = []
    with shards.create(tar) as file:
        hashing = _HashingFile(file)
        for sample in samples:
            run = run_of(sample)
            entry = SampleEntry(sample.key, hashing.position, len(run), sample.width, sample.height, zlib.crc32(run))
            entries.append(entry)
            hashing.write(run)
        hashing.write(bytes(2 * tarfile.BLOCKSIZE))
        hashing.write(bytes(-hashing.position % tarfile.RECORDSIZE))
    sha256 = hashing.hash.hexdigest()
    return replace(record, tar=tar, tar_sha256=sha256, tar_bytes=hashing.position, samples=tuple(entries))


def _run(sample: EncodedSample) -> bytes:
    return b"".join(_member(f"{sample.key}.{extension}", content) for extension, content in sample.members)


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
