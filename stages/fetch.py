"""Fetch the bytes behind a URI of the index: a file below the source's root, a part of a tar, a row, or a drawn scene.

    train2017/139.jpg                      the file ROOT/train2017/139.jpg, local or behind any fsspec URL
    member:00000.tar?offset=512&bytes=90   a range of the file ROOT/00000.tar
    row:17/5000                            the image of a row of a Hugging Face data set
    scene:0/17/512x512                     drawn here

Three outcomes: the bytes; a `Rejection` if the file is not there, or is none that may be read; an error, after retries,
if the storage fails. The invariant: whatever a row says, no file is opened but one below the root, and no pipe.
"""

import errno
import time
from pathlib import Path

from stages.errors import SourceError
from stages.locations import NotRegular, file_system, local_path, open_regular, read_bytes
from stages.records import Reason, Rejection
from stages.sources.huggingface import ROW_SCHEME, RowFile, read_image
from stages.sources.index.names import normal_name
from stages.sources.synthetic.source import IMAGE_SCHEME, LABEL_SCHEME, render
from stages.sources.webdataset.tar_members import MEMBER_SCHEME, parse_member_uri
from stages.web.config import FetchConfig

ATTEMPTS = 3
FIRST_DELAY_SECONDS = 0.5
_ADVICE = "fetch.max_file_bytes allows more"


def fetch(
    key: str,
    base_uri: str,
    uri: str,
    most_bytes: int = FetchConfig().max_file_bytes,
    first_delay_seconds: float = FIRST_DELAY_SECONDS,
) -> bytes | Rejection:
    """Read one image or label map whole, if it has at most `most_bytes`.

    A missing file is a rejection, and so is a tar that has become shorter than its member. Another failure of the
    storage is tried again until there were `ATTEMPTS`, with delays that double from the first, then raised as
    SourceError: a disk that fails is no property of the sample.
    """
    if uri.startswith((IMAGE_SCHEME, LABEL_SCHEME)):
        return render(uri)
    if uri.startswith(ROW_SCHEME):
        found = read_image(key, base_uri, uri, most_bytes)
        if not isinstance(found, RowFile):
            return found
        base_uri, uri = found.root, f"./{found.name}"
    if not uri.startswith(MEMBER_SCHEME):
        name = uri.removeprefix("./")
        content = _fetch_file(key, base_uri, name, first_delay_seconds, None, most_bytes + 1)
        if isinstance(content, bytes) and len(content) > most_bytes:
            return Rejection(key, Reason.TOO_LARGE, f"{name} must have at most {most_bytes} bytes, got more; {_ADVICE}")
        return content
    member = parse_member_uri(uri)
    if member.bytes > most_bytes:
        detail = f"{uri} must have at most {most_bytes} bytes, got {member.bytes}; {_ADVICE}"
        return Rejection(key, Reason.TOO_LARGE, detail)
    content = _fetch_file(key, base_uri, member.tar, first_delay_seconds, member.offset, member.bytes)
    if isinstance(content, bytes) and len(content) != member.bytes:
        return Rejection(key, Reason.TRUNCATED, f"{uri} must have {member.bytes} bytes, got {len(content)}")
    return content


def _fetch_file(
    key: str,
    base_uri: str,
    name: str,
    first_delay_seconds: float,
    offset: int | None,
    length: int,
) -> bytes | Rejection:
    """Read `length` bytes of a file, from its start or from `offset`; fewer at its end."""
    if base_uri and normal_name(name) is None:
        detail = f"{name!r} must be a plain relative path in UTF-8; fix it in the collection"
        return Rejection(key, Reason.BAD_NAME, detail)
    location = f"{base_uri.rstrip('/')}/{name}" if base_uri else name
    for attempt in range(ATTEMPTS):
        try:
            return _read(base_uri, name, offset, length)
        except NotRegular:
            return Rejection(key, Reason.NOT_AN_IMAGE, f"{name} must be a regular file, got a pipe or a device")
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
            if missing or error.errno == errno.ENAMETOOLONG:  # no file can have such a name
                # Not the root: a record says the same wherever the collection lies.
                place = "a file below the source's root" if base_uri else "a file"
                return Rejection(key, Reason.MISSING_FILE, f"{name} must be {place}, got none")
            if attempt + 1 == ATTEMPTS:
                raise SourceError(f"{location} must be readable, got {error}; fix the storage and run again") from error
            time.sleep(first_delay_seconds * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _read(base_uri: str, name: str, offset: int | None, length: int) -> bytes:
    local = local_path(base_uri or name)
    if local is not None:
        with open_regular(Path(f"{local}/{name}" if base_uri else local)) as file:
            file.seek(offset or 0)
            return file.read(length)
    files, root = file_system(base_uri or name)
    return read_bytes(files, f"{root}/{name}" if base_uri else root, offset, (offset or 0) + length)
