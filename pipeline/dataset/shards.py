"""Shards on disk: the tar, and the record that commits it.

    outcomes ──> shards/0000000.tar (complete, synced, published) ──then──> records/0000000.json (the same way)

The tar is plain ustar with zero times and owners, so equal samples give equal bytes.

    a retry:  0000000.r1.tar (kept and new samples) ──then──> 0000000.json names it ──then──> 0000000.tar is removed

The number in the name of a retry's tar is that of the retry of the whole data set, so that it does not depend on how
often a worker was lost.
"""

import io
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from pipeline.dataset.drafts import Draft, HashingFile
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import SHARD_DIGITS, ShardPlan
from pipeline.dataset.record import SHARDS, SampleEntry, ShardRecord, read_record, record_file
from pipeline.dataset.storage import Directory
from stages.errors import ShardConflict, ShardCorrupt
from stages.records import EncodedSample, Rejection

RETRIED_TAR = re.compile(rf"([0-9]{{{SHARD_DIGITS}}})\.r([1-9][0-9]*)\.tar")


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a committed shard is made again from, with more samples."""

    former: ShardRecord
    """The record that is there; its tar holds the samples that are kept."""
    tar: str
    """The file name of the tar that takes its tar's place."""


Outcome: TypeAlias = EncodedSample | SampleEntry | Rejection
"""What became of a row; a `SampleEntry` is a sample that is kept as it lies in the former tar."""


def commit_shard(
    home: Directory,
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
        record = _with_tar(record, home, f"{plan.name}.tar", samples, _run)
    _commit(home, record)
    return record


def recommit_shard(
    home: Directory,
    replacement: Replacement,
    numerics: Numerics,
    outcomes: Sequence[Outcome],
    base_sha256: str | None = None,
) -> ShardRecord:
    """Write the new tar, then the record that names it, then remove the former tar.

    A kill at any instant leaves the one record with its tar or the other with its own; `replaced_tars` finds what lies
    about besides. Nothing happens if an attempt that was given up for lost has got this far already. The former tar
    stays if it has exactly the samples. The record keeps the numerics of the samples that it keeps; in a layer,
    `base_sha256` binds it to another record below. Raises ShardCorrupt, naming it, if a sample to be kept is damaged.
    """
    former = replacement.former
    there = read_record(home, former.name)
    if there.tar == replacement.tar:
        return there
    record = replace(
        former,
        rejected=tuple(outcome for outcome in outcomes if isinstance(outcome, Rejection)),
        base_sha256=former.base_sha256 if base_sha256 is None else base_sha256,
    )
    samples = [outcome for outcome in outcomes if not isinstance(outcome, Rejection)]
    if not samples:
        record = replace(record, tar="", tar_sha256="", tar_bytes=0, samples=())
    elif samples != list(former.samples):

        def run(sample: EncodedSample | SampleEntry) -> bytes:
            if isinstance(sample, EncodedSample):
                return _run(sample)
            kept = _read_run(home, former, sample)
            parse_sample(kept, sample, _place(home, former, sample))  # what is damaged is not committed anew
            return kept

        record = _with_tar(record, home, replacement.tar, samples, run)
    if not former.samples:
        record = replace(record, numerics=numerics)
    home.write(record_file(record.name), record.to_json())
    if former.tar not in ("", record.tar):
        home.remove(f"{SHARDS}/{former.tar}")
    return record


def read_sample(home: Directory, record: ShardRecord, entry: SampleEntry) -> dict[str, bytes]:
    """Read one sample's members, extension to bytes, without reading the rest of the tar.

    Raises ShardCorrupt, naming shard and key, if the record's offsets do not lead to that sample.
    """
    return parse_sample(_read_run(home, record, entry), entry, _place(home, record, entry))


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


def _read_run(home: Directory, record: ShardRecord, entry: SampleEntry) -> bytes:
    try:
        return home.read_range(f"{SHARDS}/{record.tar}", entry.offset, entry.bytes)
    except FileNotFoundError:
        where = _place(home, record, entry)
        raise ShardCorrupt(f"{where} must be in the tar, got no tar; delete the record and prepare again") from None


def _place(home: Directory, record: ShardRecord, entry: SampleEntry) -> str:
    return f"{home / SHARDS / record.tar} sample {entry.key}"


Sample = TypeVar("Sample", bound=EncodedSample | SampleEntry)


def _with_tar(
    record: ShardRecord, home: Directory, tar: str, samples: Sequence[Sample], run_of: Callable[[Sample], bytes]
) -> ShardRecord:
    """Publish a tar of the runs of samples, one in memory at a time, and return the record with it."""
    entries = []
    draft = home.draft(f"{SHARDS}/{tar}")
    try:
        hashing = HashingFile(draft.file)
        for sample in samples:
            run = run_of(sample)
            entry = SampleEntry(sample.key, hashing.position, len(run), sample.width, sample.height, zlib.crc32(run))
            entries.append(entry)
            hashing.write(run)
        hashing.write(bytes(2 * tarfile.BLOCKSIZE))
        hashing.write(bytes(-hashing.position % tarfile.RECORDSIZE))
        _publish(home, record.name, draft)
    finally:
        draft.discard()
    sha256 = hashing.sha256()
    return replace(record, tar=tar, tar_sha256=sha256, tar_bytes=hashing.position, samples=tuple(entries))


def _publish(home: Directory, shard: str, draft: Draft) -> None:
    """Let a tar appear; one without a record is nobody's: a run was cut off before it, under other numerics."""
    try:
        draft.publish()
    except ShardConflict:
        if home.exists(record_file(shard)):
            raise
        draft.replace()


def _commit(home: Directory, record: ShardRecord) -> None:
    with home.publish(record_file(record.name)) as file:
        file.write(record.to_json())


def _run(sample: EncodedSample) -> bytes:
    return b"".join(_member(f"{sample.key}.{extension}", content) for extension, content in sample.members)


def _member(name: str, content: bytes) -> bytes:
    """One file of a tar: header, content, padding. Times and owners stay at TarInfo's zeros."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def retried_tar(shard: str, retry: int) -> str:
    """The file name of a shard's tar that retry 1, 2, ... has written."""
    return f"{shard}.r{retry}.tar"


def is_tar_of(name: str, shard: str) -> bool:
    """Whether a shard's record may name a file as its tar."""
    match = RETRIED_TAR.fullmatch(name)
    return name == f"{shard}.tar" or (match is not None and match[1] == shard)


def last_retry(home: Directory) -> int:
    """The highest number of a retry among the tars; 0 without one."""
    return max((int(match[2]) for name in (home / SHARDS).names() if (match := RETRIED_TAR.fullmatch(name))), default=0)


def replaced_tars(home: Directory) -> list[str]:
    """The tars of retried shards that their records do not name: a retry was cut off before or after its record.

    Only the records of shards that have a retried tar are read; a shard without record is not committed and not judged.
    """
    names = set((home / SHARDS).names())
    replaced = []
    for shard in sorted({match[1] for name in names if (match := RETRIED_TAR.fullmatch(name))}):
        try:
            named = read_record(home, shard).tar
        except FileNotFoundError:
            continue
        replaced += [name for name in names if is_tar_of(name, shard) and name != named]
    return sorted(replaced)
