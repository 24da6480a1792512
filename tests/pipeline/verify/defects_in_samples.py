"""Defects inside of samples that everything around agrees with: hashes, offsets, counts and files are made to fit.

Only a bug or a forger makes such a data set. Each function damages a copy and says what verify must say of it.
"""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.dataset.record import SampleEntry, ShardRecord, read_record
from tests.pipeline.verify.damage import Copy, Said

BLOCK = 512


def foreign_member(copy: Copy) -> Said:
    place = copy.rewrite_sample(lambda members: members | {"exe": b"MZ"})
    return Said(*place, r"^members must be .*color\.png.*jpg, json.*, got a foreign exe; delete its record")


def missing_member(copy: Copy) -> Said:
    place = copy.rewrite_sample(lambda members: {name: members[name] for name in members.keys() - {"color.png"}})
    return Said(*place, r"^members must be .*color\.png.*jpg, json.*, got no color\.png;")


def key_of_another_shard(copy: Copy) -> Said:
    """A sample of shard 0 in place of one of shard 1."""
    first, record = (read_record(copy.directory, f"000000{number}") for number in range(2))
    samples = copy.encoded(record)
    lost, samples[1] = samples[1].key, copy.encoded(first)[1]
    copy.rewrite(record, samples)
    words = rf"^records/\d+\.json must have only the keys of its rows in the index, got this one in place of {lost};"
    return Said(record.name, samples[1].key, words)


def key_of_no_row(copy: Copy) -> Said:
    record, entry = copy.sample()
    samples = [
        replace(sample, key="stranger") if sample.key == entry.key else sample for sample in copy.encoded(record)
    ]
    copy.rewrite(record, samples)
    return Said(
        record.name, "stranger", rf"^records/\d+\.json must have only the keys of its rows .* in place of {entry.key};"
    )


def samples_out_of_order(copy: Copy) -> Said:
    record = copy.shard()
    samples = copy.encoded(record)
    copy.rewrite(record, [*samples[1:], samples[0]])
    return Said(
        record.name,
        samples[0].key,
        r"^records/\d+\.json must list the key in the order of the index, got something else",
    )


def _patch(copy: Copy, change: Callable[[bytes], bytes]) -> tuple[str, str]:
    """Change the bytes of one sample's run in the tar, and everything that is derived from them."""
    record, entry = copy.sample()
    content = copy.shards.read(record.tar)
    position = record.samples.index(entry)
    runs = [content[each.offset : each.offset + each.bytes] for each in record.samples]
    runs[position] = change(runs[position])
    more = len(runs[position]) - entry.bytes
    entries = [
        *record.samples[:position],
        replace(entry, bytes=len(runs[position]), crc32=zlib.crc32(runs[position])),
        *(replace(each, offset=each.offset + more) for each in record.samples[position + 1 :]),
    ]
    _put(copy, record, b"".join(runs), entries)
    return record.name, entry.key


def _put(copy: Copy, record: ShardRecord, runs: bytes, entries: Sequence[SampleEntry]) -> None:
    """Write a tar of the runs, and everything that is derived from it."""
    content = runs + bytes(2 * BLOCK)
    content += bytes(-len(content) % tarfile.RECORDSIZE)
    copy.shards.write(record.tar, content)
    sha256 = hashlib.sha256(content).hexdigest()
    copy.put_record(replace(record, samples=tuple(entries), tar_sha256=sha256, tar_bytes=len(content)))
    copy.derive()


def _runs(copy: Copy, record: ShardRecord) -> bytes:
    """A tar without its end."""
    return copy.shards.read(record.tar)[: record.samples[-1].offset + record.samples[-1].bytes]


def _header(name: str, size: int = 0, **changes: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    for field, value in changes.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.USTAR_FORMAT)


def _name(run: bytes) -> str:
    return tarfile.TarInfo.frombuf(run[:BLOCK], "utf-8", "strict").name


def _size(run: bytes) -> int:
    return tarfile.TarInfo.frombuf(run[:BLOCK], "utf-8", "strict").size


def member_with_a_time(copy: Copy) -> Said:
    place = _patch(copy, lambda run: _header(_name(run), _size(run), mtime=1) + run[BLOCK:])
    return Said(
        *place, r"^\d+\.tar member '\w+\.c\w+\.png' must be a plain file of no time and owner, got another tar header;"
    )


def member_that_is_a_link(copy: Copy) -> Said:
    def change(run: bytes) -> bytes:
        return run + _header(f"{_name(run).partition('.')[0]}.zip", type=tarfile.SYMTYPE, linkname="/etc/hosts")

    return Said(*_patch(copy, change), r"^\d+\.tar member '\w+\.zip' must be a plain file of no time and owner")


def member_that_is_there_twice(copy: Copy) -> Said:
    place = _patch(copy, lambda run: run[: BLOCK + _size(run) + -_size(run) % BLOCK] + run)
    return Said(*place, r"^\d+\.tar sample must hold its members in order, each once, got '\w+\.(c\w+\.png)' after \1;")


def member_of_another_sample(copy: Copy) -> Said:
    place = _patch(copy, lambda run: run + _header("stranger.jpg"))
    return Said(*place, r"^\d+\.tar sample must hold only its own members, got 'stranger\.jpg';")


def member_longer_than_its_sample(copy: Copy) -> Said:
    place = _patch(copy, lambda run: run + _header(f"{_name(run).partition('.')[0]}.zip", 10**6))
    return Said(*place, r"^\d+\.tar member '\w+\.zip' must be padded with zeros to whole blocks, got another length;")


def member_with_something_in_its_padding(copy: Copy) -> Said:
    return Said(*_patch(copy, lambda run: run[:-1] + b"!"), r"^\d+\.tar member '\w+\.txt' must be padded with zeros")


def run_that_is_no_tar(copy: Copy) -> Said:
    place = _patch(copy, lambda run: run[:BLOCK] + b"?" * (len(run) - BLOCK))
    return Said(*place, r"^\d+\.tar (sample must be a run of tar members, got|member .* must be padded with zeros)")


def sample_that_the_record_does_not_know(copy: Copy) -> Said:
    """A whole foreign sample between two others, over which the offsets lead."""
    record, entry = copy.sample()
    content = _runs(copy, record)
    foreign = _header("stranger.txt", 2) + b"hi" + bytes(BLOCK - 2)
    content = content[: entry.offset] + foreign + content[entry.offset :]
    number = record.samples.index(entry)
    moved = [replace(each, offset=each.offset + len(foreign)) for each in record.samples[number:]]
    _put(copy, record, content, [*record.samples[:number], *moved])
    return Said(
        record.name, "", rf"^\d+\.tar must hold only its record's samples, got 'stranger\.txt' at byte {entry.offset};"
    )


def sample_behind_the_last_one(copy: Copy) -> Said:
    record = copy.shard()
    runs = _runs(copy, record)
    _put(copy, record, runs + _header("stranger.txt"), record.samples)
    return Said(
        record.name, "", rf"^\d+\.tar must hold only its record's samples, got 'stranger\.txt' at byte {len(runs)};"
    )


def samples_in_another_order_in_the_tar(copy: Copy) -> Said:
    record = copy.shard()
    first, second, *others = record.samples
    content = _runs(copy, record)
    middle = second.offset + second.bytes
    content = content[second.offset : middle] + content[: second.offset] + content[middle:]
    _put(copy, record, content, [replace(first, offset=second.bytes), replace(second, offset=0), *others])
    words = rf"^\d+\.tar must hold the sample at byte 0, where the one before it ends, got {second.bytes};"
    return Said(record.name, first.key, words)
