"""The members of a tar by their place in it: headers are read, contents are skipped.

    header | content ...... | header | content ... | zeros
    ^ read   ^ offset, bytes  ^ read

Every byte of the file is accounted for: it ends in the zeros that close a tar, or a `TarCut` says where reading had to
stop. Python's tarfile alone ends without a word at a damaged header, at a cut between two members, and at the zeros in
the middle of concatenated tars. Two attributes of its TarFile are used here alone and not documented (Python 3.11 to
3.14): `offset`, where the next header is, and `members`, which would keep every header of the tar.
"""

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

MEMBER_SCHEME = "member:"
SCAN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in a tar, all of it there."""

    name: str
    offset: int
    """Of the content's first byte."""
    bytes: int


@dataclass(frozen=True, slots=True)
class TarCut:
    """Where a tar cannot be read any further; what came after it is unknown."""

    member: str
    """The file whose content is cut; empty if the cut is not in a content."""
    detail: str


@dataclass(frozen=True, slots=True)
class MemberPlace:
    """What a `member:` URI says."""

    tar: str
    offset: int
    bytes: int


def member_uri(tar: str, member: TarMember) -> str:
    """Write where a member lies: member:00000.tar?offset=512&bytes=90210."""
    return f"{MEMBER_SCHEME}{tar}?offset={member.offset}&bytes={member.bytes}"


def parse_member_uri(uri: str) -> MemberPlace:
    """Read back what `member_uri` wrote."""
    match = re.fullmatch(rf"{MEMBER_SCHEME}(.+)\?offset=(\d+)&bytes=(\d+)", uri, re.DOTALL)
    assert match is not None, "member URIs come from an index that member_uri wrote"
    return MemberPlace(match[1], int(match[2]), int(match[3]))


class _Headers:
    """A tar's file for tarfile, which would take an extended header of gigabytes into memory because it says so."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > SCAN_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes, where {SCAN_BYTES} hold any name")
        return self._file.read(size)


def read_members(file: BinaryIO) -> Iterator[TarMember | TarCut]:
    """Yield the regular files of an uncompressed tar in the order of the tar, and at most one `TarCut`, last.

    `file` is seekable and may be read and moved between two members. Links, directories and sparse files are passed
    over: their content does not lie in one piece behind their header.
    """
    size = file.seek(0, io.SEEK_END)
    headers = cast(BinaryIO, _Headers(file))
    start: int | None = 0
    while start is not None:
        file.seek(start)
        end = start
        try:
            tar = tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]
                stop = info.offset_data + info.size
                if stop > size:
                    yield TarCut(info.name, f"ends at byte {size}, where {info.name!r} would end at {stop}")
                    return
                if tar.offset <= end:  # a negative size would lead back to the same header for ever
                    break
                end = tar.offset
                if info.isreg() and not info.issparse():
                    yield TarMember(info.name, info.offset_data, info.size)
        # Hostile headers draw the others out of tarfile: a size of 2^66, a thousand extended headers in a row, a number
        # in a sparse map that is none, an extended header of a terabyte.
        except (tarfile.TarError, OverflowError, RecursionError, ValueError, MemoryError) as error:
            yield TarCut("", f"cannot be read from byte {min(end, size)} of {size} on: {error}")
            return
        block = _block(file, end)
        if block.strip(b"\0"):
            yield TarCut("", f"cannot be read from byte {end} of {size} on: no tar header")
            return
        if not block:
            yield TarCut("", f"ends at byte {size} without the zeros that close a tar")
            return
        start = _after_zeros(file, end)


def _block(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    return file.read(tarfile.BLOCKSIZE)


def _after_zeros(file: BinaryIO, offset: int) -> int | None:
    """The first block from `offset` on that is not all zeros, where a concatenated tar begins; None at the end."""
    file.seek(offset)
    while content := file.read(SCAN_BYTES):
        zeros = len(content) - len(content.lstrip(b"\0"))
        if zeros < len(content):
            return offset + zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        offset += len(content)
    return None
