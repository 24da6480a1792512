import io
import tarfile
import zlib
from pathlib import Path

import pytest

from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.shards import SampleEntry, ShardRecord, commit_shard, parse_sample, read_record, read_sample
from pipeline.dataset.storage import Directory
from stages.errors import ShardCorrupt
from stages.records import EncodedSample, Reason, Rejection

NUMERICS = Numerics("cpu", {"color": "none"}, 1, 1, {"torch": "2"})


def sample(key: str) -> EncodedSample:
    return EncodedSample(key, (("jpg", b"J" * 700), ("json", b"{}"), ("txt", "blå 雪".encode())), 64, 64)


@pytest.fixture
def shards(tmp_path: Path) -> Directory:
    return Directory(str(tmp_path))


@pytest.fixture
def record(shards: Directory) -> ShardRecord:
    outcomes = (sample("a"), Rejection("b", Reason.TRUNCATED, "half"), sample("c"))
    return commit_shard(shards, ShardPlan(0, 0, 3), "fingerprint", NUMERICS, outcomes)


def test_the_tar_is_a_plain_tar_with_nothing_of_time_or_host(shards: Directory, record: ShardRecord) -> None:
    with tarfile.open(fileobj=io.BytesIO(shards.read(record.tar))) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["a.jpg", "a.json", "a.txt", "c.jpg", "c.json", "c.txt"]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, 0, "", "")
    }


def test_equal_samples_give_equal_bytes_and_a_second_commit_changes_nothing(
    shards: Directory, record: ShardRecord
) -> None:
    before = {name: shards.read(name) for name in shards.names()}
    outcomes = (sample("a"), Rejection("b", Reason.TRUNCATED, "half"), sample("c"))
    commit_shard(shards, ShardPlan(0, 0, 3), "fingerprint", NUMERICS, outcomes)
    assert {name: shards.read(name) for name in shards.names()} == before


def test_offsets_lead_to_each_sample(shards: Directory, record: ShardRecord) -> None:
    for entry in record.samples:
        assert read_sample(shards, record, entry) == dict(sample(entry.key).members)


def test_a_record_survives_its_file(shards: Directory, record: ShardRecord) -> None:
    assert read_record(shards, "0000000") == record


def test_a_shard_without_samples_has_a_record_and_no_tar(shards: Directory) -> None:
    rejected = [Rejection("a", Reason.EMPTY_FILE, "0 bytes")]
    record = commit_shard(shards, ShardPlan(4, 4, 5), "fingerprint", NUMERICS, rejected)
    assert (record.tar, record.tar_bytes, record.samples) == ("", 0, ())
    assert shards.names() == ["0000004.json"]


def test_a_damaged_sample_is_named(shards: Directory, record: ShardRecord) -> None:
    content = bytearray(shards.read(record.tar))
    content[record.samples[1].offset + 600] ^= 1
    shards.write(record.tar, bytes(content))
    assert read_sample(shards, record, record.samples[0])
    with pytest.raises(
        ShardCorrupt, match=r"0000000\.tar sample c must have crc32 .*, got .*; prepare the shard again"
    ):
        read_sample(shards, record, record.samples[1])


def tar_of(*members: tuple[str, bytes]) -> tuple[bytes, SampleEntry]:
    """A run of members of a name and a type, empty all, and the entry of sample "a" that points at it."""
    content = b""
    for name, kind in members:
        info = tarfile.TarInfo(name)
        info.type = kind
        content += info.tobuf(tarfile.USTAR_FORMAT)
    return content, SampleEntry("a", 0, len(content), 64, 64, zlib.crc32(content))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.jpg", tarfile.REGTYPE), ("a.txt", tarfile.SYMTYPE)], "only files, got a.txt which is none"),
        ([("a.jpg", tarfile.REGTYPE), ("b.txt", tarfile.REGTYPE)], "only its own members, got b.txt"),
        ([("a.jpg", tarfile.REGTYPE), ("a.jpg", tarfile.REGTYPE)], "only its own members, got a.jpg"),
    ],
    ids=["a link", "another sample's member", "a member twice"],
)
def test_a_member_that_is_not_the_samples_own_file_is_named(members: list[tuple[str, bytes]], message: str) -> None:
    content, entry = tar_of(*members)
    with pytest.raises(ShardCorrupt) as caught:
        parse_sample(content, entry, "0000000.tar sample a")
    assert str(caught.value) == f"0000000.tar sample a must have {message}; prepare the shard again"


def test_a_record_that_is_none_is_named(shards: Directory) -> None:
    shards.write("0000000.json", b'{"samples": 3}')
    with pytest.raises(
        ShardCorrupt, match=r"0000000\.json must be a shard's record, got .*; delete it and prepare again"
    ):
        read_record(shards, "0000000")
