"""Check a shard's tar against its record: its size, its hash, every sample where the record says, nothing besides.

    [ sample a: header, jpg, header, json, ... ][ sample b: ... ][ zeros ]
      └──── offset, bytes, crc32 of a's entry ──┘

The file is read twice, for its hash and then sample by sample, so that one sample is in memory at a time; the second
reading comes out of the operating system's cache. The invariant: one defect is one problem, at its sample if it lies
in one; the tar as a whole is blamed only if its samples are what they should be.
"""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeAlias

from pipeline.dataset.record import SampleEntry, ShardRecord, record_file
from pipeline.verify.problem import REMAKE_SHARD, Problem
from stages.errors import ShardCorrupt

CheckMembers: TypeAlias = Callable[[SampleEntry, dict[str, bytes]], Iterator[Problem]]


def check_tar(
    file: BinaryIO, record: ShardRecord, suspects: frozenset[str], check_members: CheckMembers
) -> Iterator[Problem]:
    """Yield what is wrong with an open tar; `check_members` is given each intact sample, extension to bytes.

    `suspects` are the keys with which the record itself has shown a problem: their samples are passed over, and nothing
    is said of where the others lie. Raises what the file raises.
    """
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file does
    size = file.seek(0, io.SEEK_END)
    damaged: list[tuple[str, str]] = []
    is_known = size == record.tar_bytes and not suspects
    end = 0
    for entry in record.samples:
        if entry.key in suspects:
            continue
        try:
            members = _members(_run(file, entry, size), entry.key)
        except ShardCorrupt as error:
            misplaced = f"{record_file(record.name)} must place the sample at byte {end} of the tar, got {entry.offset}"
            damaged.append((entry.key, misplaced if is_known and entry.offset != end else f"{record.tar} {error}"))
            is_known = False
            continue
        if is_known and entry.offset != end:
            is_known = False
            yield _between(file, record, end, entry)
        end = entry.offset + entry.bytes
        yield from check_members(entry, members)
    if size != record.tar_bytes:
        first = damaged[0][0] if damaged else ""
        got = f"{size} and {len(damaged)} damaged samples, this one the first" if damaged else f"{size}"
        yield _problem(record, first, f"{record.tar} must have {record.tar_bytes} bytes, got {got}")
    else:
        yield from (_problem(record, key, what) for key, what in damaged)
    if is_known:
        what = _after_the_last(file, end)
        if not what and sha256 != record.tar_sha256:
            what = f"must have sha256 {record.tar_sha256}, got {sha256}, although each of its samples is intact"
        if what:
            yield _problem(record, "", f"{record.tar} {what}")


def _problem(record: ShardRecord, key: str, what: str) -> Problem:
    return Problem(record.name, key, f"{what}; {REMAKE_SHARD}")


def _run(file: BinaryIO, entry: SampleEntry, size: int) -> bytes:
    """Read the bytes that an entry points at in a file of `size` bytes; ShardCorrupt if they are not its."""
    if not 0 <= entry.offset < entry.offset + entry.bytes <= size:
        got = f"{entry.bytes} bytes at byte {entry.offset}"
        raise ShardCorrupt(f"must hold the sample within its {size} bytes, got {got} in the record")
    file.seek(entry.offset)
    run = file.read(entry.bytes)
    if zlib.crc32(run) != entry.crc32:
        raise ShardCorrupt(f"sample must have crc32 {entry.crc32:08x}, got {zlib.crc32(run):08x}")
    return run


def _members(run: bytes, key: str) -> dict[str, bytes]:
    """Take a sample's run apart into its members, as strictly as they were written.

    tarfile alone would accept links, folders, extended headers, owners and times: what one reader sees and another does
    not. Raises ShardCorrupt.
    """
    members: dict[str, bytes] = {}
    position, before = 0, ""
    while position < len(run):
        name, size = _plain_header(run[position : position + tarfile.BLOCKSIZE])
        start = position + tarfile.BLOCKSIZE
        position = start + size + -size % tarfile.BLOCKSIZE
        stem, _, extension = name.partition(".")
        if stem != key:
            raise ShardCorrupt(f"sample must hold only its own members, got {name!r}")
        if extension <= before:
            raise ShardCorrupt(f"sample must hold its members in order, each once, got {name!r} after {before}")
        if position > len(run) or any(run[start + size : position]):
            raise ShardCorrupt(f"member {name!r} must be padded with zeros to whole blocks, got another length")
        members[extension] = run[start : start + size]
        before = extension
    return members


def _plain_header(block: bytes) -> tuple[str, int]:
    """Read the name and size of a member; ShardCorrupt unless its header is one that condset writes."""
    try:
        info = tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
        plain = tarfile.TarInfo(info.name)
        plain.size = info.size
        is_plain = plain.tobuf(tarfile.USTAR_FORMAT, tarfile.ENCODING, "surrogateescape") == block
    except (tarfile.HeaderError, ValueError) as error:
        raise ShardCorrupt(f"sample must be a run of tar members, got {error}") from None
    if not is_plain:
        raise ShardCorrupt(f"member {info.name!r} must be a plain file of no time and owner, got another tar header")
    return info.name, info.size


def _between(file: BinaryIO, record: ShardRecord, end: int, entry: SampleEntry) -> Problem:
    """Explain why an intact sample does not lie where the one before it ends."""
    name = _name_at(file, end)
    if entry.offset < end or name.partition(".")[0] in {each.key for each in record.samples}:
        what = f"must hold the sample at byte {end}, where the one before it ends, got {entry.offset}"
        return _problem(record, entry.key, f"{record.tar} {what}")
    what = f"must hold only its record's samples, got {name or 'something else'!r} at byte {end}"
    return _problem(record, "", f"{record.tar} {what}")


def _after_the_last(file: BinaryIO, end: int) -> str:
    """Describe what is wrong with the tar behind its last sample, where only zeros belong; empty if nothing is."""
    zeros = 2 * tarfile.BLOCKSIZE
    zeros += -(end + zeros) % tarfile.RECORDSIZE
    file.seek(end)
    rest = file.read(zeros + 1)
    if rest == bytes(zeros):
        return ""
    name = _name_at(file, end)
    if name:
        return f"must hold only its record's samples, got {name!r} at byte {end}"
    return f"must end with {zeros} zeros at byte {end}, got other bytes"


def _name_at(file: BinaryIO, position: int) -> str:
    """The name of the member whose header lies at a position; empty if there is none."""
    file.seek(position)
    try:
        return tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape").name
    except tarfile.HeaderError:
        return ""
