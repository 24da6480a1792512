"""Fetch the bytes behind a URI of the index: a file below the source's root, any fsspec URL, or a drawn scene.

Three outcomes: the bytes; a `Rejection` if the file is not there; an error, after retries, if the storage fails.
"""

import time
from pathlib import Path

from stages.errors import SourceError
from stages.records import Reason, Rejection
from stages.sources.synthetic import IMAGE_SCHEME, LABEL_SCHEME, render

ATTEMPTS = 3
FIRST_DELAY_SECONDS = 0.5


def fetch(key: str, base_uri: str, uri: str) -> bytes | Rejection:
    """Read one file whole.

    A missing file is a rejection. Another failure of the storage is tried again `ATTEMPTS` times with growing delays,
    then raised as SourceError: a disk that fails is no property of the sample.
    """
    if uri.startswith((IMAGE_SCHEME, LABEL_SCHEME)):
        return render(uri)
    location = f"{base_uri.rstrip('/')}/{uri}" if base_uri else uri
    for attempt in range(ATTEMPTS):
        try:
            return _read(location)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return Rejection(key, Reason.MISSING_FILE, f"{uri} must be a file below {base_uri}, got none")
        except OSError as error:
            if attempt + 1 == ATTEMPTS:
                raise SourceError(
                    f"{location} must be readable, got {error}; mend the storage and run again"
                ) from error
            time.sleep(FIRST_DELAY_SECONDS * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _read(location: str) -> bytes:
    if "://" not in location:
        return Path(location).read_bytes()
    import fsspec

    with fsspec.open(location, "rb") as file:
        return bytes(file.read())
