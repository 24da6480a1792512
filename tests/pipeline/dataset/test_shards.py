import io
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dataset.ledger import make_folders
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import SHARDS, SampleEntry, ShardRecord, read_record
from pipeline.dataset.shards import commit_shard, parse_sample, read_sample
from pipeline.dataset.storage import Directory
from stages.errors import ShardConflict, ShardCorrupt
from stages.records import EncodedSample, Reason, Rejection
from tests.pipeline.conftest import tree

NUMERICS = Numerics("cpu", {"color": "none"}, 1, 1, {"torch": "2"})


def sample(key: str) -> EncodedSample:
    return EncodedSample(key, (("jpg", b"J" * 700), ("json", b"{}"), ("txt", "blå 雪".encode())), 64, 64)


@pytest.fixture
def home(tmp_path: Path) -> Directory:
    home = Directory(str(tmp_path))
    make_folders(home)
    return home


@pytest.fixture
def record(home: Directory) -> ShardRecord:
    outcomes = (sample("a"), Rejection("b", Reason.TRUNCATED, "half"), sample("c"))
    return commit_shard(home, ShardPlan(0, 0, 3), "fingerprint", NUMERICS, outcomes)


def test_the_tar_is_a_plain_tar_with_nothing_of_time_or_host(home: Directory, record: ShardRecord) -> None:
    with tarfile.open(fileobj=io.BytesIO(home.read(f"{SHARDS}/{record.tar}"))) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["a.jpg", "a.json", "a.txt", "c.jpg", "c.json", "c.txt"]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, 0, "", "")
    }


def test_equal_samples_give_equal_bytes_and_a_second_commit_changes_nothing(
    home: Directory, record: ShardRecord
) -> None:
    before = tree(Path(home.location))
    outcomes = (sample("a"), Rejection("b", Reason.TRUNCATED, "half"), sample("c"))
    commit_shard(home, ShardPlan(0, 0, 3), "fingerprint", NUMERICS, outcomes)
    assert tree(Path(home.location)) == before


def test_a_tar_without_a_record_is_nobodys_and_is_replaced(home: Directory) -> None:
    home.write("shards/0000000.tar", b"of a run under other numerics that was cut off before its record")
    record = commit_shard(home, ShardPlan(0, 0, 1), "fingerprint", NUMERICS, [sample("a")])
    assert read_sample(home, record, record.samples[0]) == dict(sample("a").members)
    assert sorted(tree(Path(home.location))) == ["records/0000000.json", "shards/0000000.tar"]


def test_a_shard_that_another_run_has_committed_is_never_replaced(home: Directory, record: ShardRecord) -> None:
    before = tree(Path(home.location))
    rejected = [Rejection(key, Reason.TRUNCATED, "half") for key in "abc"]
    others: list[Sequence[EncodedSample | Rejection]] = [[sample("a"), sample("b")], rejected]
    for outcomes, file in zip(others, ("shards/0000000.tar", "records/0000000.json"), strict=True):
        with pytest.raises(ShardConflict) as caught:
            commit_shard(home, ShardPlan(0, 0, 3), "fingerprint", NUMERICS, outcomes)
        assert str(caught.value) == (
            f"{home}/{file} must have the bytes that this run makes, got others, which another run has published; let "
            "one configuration write to a directory, or give another --out"
        )
        assert tree(Path(home.location)) == before


def test_offsets_lead_to_each_sample(home: Directory, record: ShardRecord) -> None:
    for entry in record.samples:
        assert read_sample(home, record, entry) == dict(sample(entry.key).members)


def test_a_record_survives_its_file(home: Directory, record: ShardRecord) -> None:
    assert read_record(home, "0000000") == record


def test_a_shard_without_samples_has_a_record_and_no_tar(home: Directory) -> None:
    rejected = [Rejection("a", Reason.EMPTY_FILE, "0 bytes")]
    record = commit_shard(home, ShardPlan(4, 4, 5), "fingerprint", NUMERICS, rejected)
    assert (record.tar, record.tar_bytes, record.samples) == ("", 0, ())
    assert list(tree(Path(home.location))) == ["records/0000004.json"]


def test_a_damaged_sample_is_named(home: Directory, record: ShardRecord) -> None:
    content = bytearray(home.read(f"{SHARDS}/{record.tar}"))
    content[record.samples[1].offset + 600] ^= 1
    home.write(f"{SHARDS}/{record.tar}", bytes(content))
    assert read_sample(home, record, record.samples[0])
    with pytest.raises(
        ShardCorrupt, match=r"0000000\.tar sample c must have crc32 .*, got .*; prepare the shard again"
    ):
        read_sample(home, record, record.samples[1])


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


def test_a_record_that_is_none_is_named(home: Directory) -> None:
    home.write("records/0000000.json", b'{"samples": 3}')
    with pytest.raises(
        ShardCorrupt, match=r"records/0000000\.json must be a shard's record, got .*; delete it and prepare again"
    ):
        read_record(home, "0000000")


def test_a_reason_that_only_a_newer_condset_knows_is_read_as_text(home: Directory, record: ShardRecord) -> None:
    newer = replace(record, rejected=(Rejection("b", "moonlight", "too bright"),))
    home.write("records/0000000.json", newer.to_json())
    assert read_record(home, "0000000") == newer
    assert read_record(home, "0000000").to_json() == newer.to_json()
