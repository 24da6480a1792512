import io
import platform
import tarfile
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pytest

from stages.sources.webdataset.tar_members import (
    MemberPlace,
    TarCut,
    TarMember,
    member_uri,
    parse_member_uri,
    read_members,
)

NAMES = ["a.jpg", "ünï/b.jpg", "x" * 130 + ".txt", "deep/" * 40 + "c.json"]


def tar_of(names: list[str], tar_format: int = tarfile.PAX_FORMAT, content_bytes: int = 700) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tar_format) as tar:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = content_bytes
            tar.addfile(info, io.BytesIO(bytes([number + 1]) * content_bytes))
    return file.getvalue()


def names_of(found: list[TarMember | TarCut]) -> list[str]:
    return [each.name for each in found if isinstance(each, TarMember)]


def listed(content: bytes) -> list[TarMember | TarCut]:
    return list(read_members(io.BytesIO(content)))


def only_cut(found: list[TarMember | TarCut]) -> TarCut:
    (cut,) = [each for each in found if isinstance(each, TarCut)]
    assert cut is found[-1]
    return cut


class CountingFile(io.BytesIO):
    """Counts the bytes that are read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.taken += len(content)
        return content


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_lie_where_they_are_said_to_lie(tar_format: int) -> None:
    content = tar_of(NAMES, tar_format)
    found = listed(content)
    assert names_of(found) == NAMES
    for number, member in enumerate(found):
        assert isinstance(member, TarMember)
        assert content[member.offset : member.offset + member.bytes] == bytes([number + 1]) * 700


def test_contents_are_not_read() -> None:
    file = CountingFile(tar_of(["a.jpg", "b.jpg"], content_bytes=5_000_000))
    assert names_of(list(read_members(file))) == ["a.jpg", "b.jpg"]
    assert file.taken < 50_000


def test_a_tar_cut_anywhere_gives_the_members_before_the_cut_and_says_so() -> None:
    content = tar_of(["a.jpg", "b.txt", "c.json"])
    ends = [each.offset + each.bytes for each in listed(content) if isinstance(each, TarMember)]
    closing = len(content.rstrip(b"\0")) // 512 * 512 + 512
    for length in range(0, closing, 61):
        found = listed(content[:length])
        assert names_of(found) == ["a.jpg", "b.txt", "c.json"][: sum(end <= length for end in ends)]
        assert str(length) in only_cut(found).detail


def test_a_cut_within_a_content_names_its_member() -> None:
    cut = only_cut(listed(tar_of(["a.jpg", "b.txt"])[:2200]))
    assert cut == TarCut("b.txt", "ends at byte 2200, where 'b.txt' would end at 2748")


def test_a_tar_without_its_closing_zeros_is_cut() -> None:
    assert only_cut(listed(tar_of(["a.jpg"])[:1536])) == TarCut(
        "", "ends at byte 1536 without the zeros that close a tar"
    )


def test_concatenated_tars_are_one() -> None:
    assert names_of(listed(tar_of(["a.jpg"]) + tar_of(["b.jpg"]) + tar_of(["c.jpg"]))) == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_damaged_header_ends_the_listing_and_is_reported() -> None:
    content = bytearray(tar_of(["a.jpg", "b.jpg", "c.jpg"]))
    content[1536 + 10] ^= 0xFF
    found = listed(bytes(content))
    assert names_of(found) == ["a.jpg"]
    assert only_cut(found).detail == f"cannot be read from byte 1536 of {len(content)} on: no tar header"


@pytest.mark.parametrize("content", [b"", b"<html>no such file</html>" * 40, bytes(100)])
def test_a_file_that_is_no_tar_is_cut_at_its_start(content: bytes) -> None:
    found = listed(content)
    assert names_of(found) == []
    assert only_cut(found).member == ""


def test_a_tar_of_nothing_is_whole() -> None:
    assert listed(tar_of([])) == []


def test_links_directories_and_sparse_files_are_passed_over() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind in [("d", tarfile.DIRTYPE), ("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../../etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("sparse.jpg")
        info.size, info.pax_headers = 4, {"GNU.sparse.map": "0,4", "GNU.sparse.size": "9"}
        tar.addfile(info, io.BytesIO(b"1234"))
        tar.addfile(tarfile.TarInfo("a.txt"))
    assert names_of(listed(file.getvalue())) == ["a.txt"]


def header(name: str, kind: bytes, size: bytes) -> bytes:
    """A tar header with any bytes for a size, and the right checksum."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136], block[156:157] = size.ljust(12, b"\0"), kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def base_256(number: int) -> bytes:
    return bytes([0x80 if number >= 0 else 0xFF]) + number.to_bytes(11, "big", signed=True)


@pytest.mark.parametrize(
    "hostile",
    [
        header("a.jpg", b"0", base_256(2**66)),
        header("a.jpg", b"0", base_256(-512)),
        header("a.jpg", b"0", base_256(-(2**40))),
        header("x", b"x", base_256(2**66)) + bytes(512),
        header("x", b"L", base_256(2**45)) + bytes(512),
        (header("x", b"x", b"00000000010") + b"9 a=bcd\n".ljust(512, b"\0")) * 1500,
        header("x", b"x", b"00000000062") + b"22 GNU.sparse.map=0,x\n28 GNU.sparse.size=9000000000\n".ljust(512, b"\0"),
    ],
    ids=["huge", "negative", "far back", "huge extended", "terabytes of name", "recursive", "sparse map of letters"],
)
def test_hostile_headers_end_the_listing_in_finite_time(hostile: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hostile.tar"
    path.write_bytes(tar_of(["first.jpg"])[:1536] + hostile + tar_of(["last.jpg"]))
    with path.open("rb") as file:
        found = list(read_members(file))
    assert names_of(found)[0] == "first.jpg"
    assert all(each.bytes >= 0 for each in found if isinstance(each, TarMember))
    assert only_cut(found)


def test_reading_between_members_disturbs_nothing() -> None:
    file: BinaryIO = io.BytesIO(tar_of(NAMES))
    contents = []
    for member in read_members(file):
        assert isinstance(member, TarMember)
        file.seek(member.offset)
        contents.append(file.read(member.bytes))
    assert contents == [bytes([number + 1]) * 700 for number in range(len(NAMES))]


def test_the_headers_of_a_long_tar_are_not_kept() -> None:
    headers = [tarfile.TarInfo(f"{number}.txt").tobuf() for number in range(2000)]
    file = io.BytesIO(b"".join(headers) + bytes(2 * tarfile.BLOCKSIZE))
    tracemalloc.start()
    try:
        assert sum(isinstance(each, TarMember) for each in read_members(file)) == 2000
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    where = f"tarfile of Python {platform.python_version()}, which read_members tells to forget them"
    assert most_bytes < 500_000, f"headers are kept by {where}: {most_bytes} bytes"


def test_a_place_survives_its_uri() -> None:
    uri = member_uri("odd?offset=1&bytes=2/0.tar", TarMember("x.jpg", 512, 90))
    assert uri == "member:odd?offset=1&bytes=2/0.tar?offset=512&bytes=90"
    assert parse_member_uri(uri) == MemberPlace("odd?offset=1&bytes=2/0.tar", 512, 90)
