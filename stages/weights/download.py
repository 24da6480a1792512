"""Download one large file so that under its own name it is complete and checked, or not there at all.

    url ──Range──> <file>.partial ──size, sha256──> <file>
                      └── outlives an interruption: the next attempt asks for the rest

Invariant: a file gets its final name only after its hash has been checked. Several processes that want the same file
take turns, and all but the first find it there.
"""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock

from stages.errors import WeightsError

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be (None if the server does not say)."""

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 10.0
"""For connecting, and for any pause within the transfer: a stalled server is asked for the rest instead."""
_FRUITLESS_ATTEMPTS = 5
"""Attempts in a row that brought no byte; at 1, 2, 4, 8 seconds of pause this is a quarter of a minute."""
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})

_digests: dict[tuple[int, int, int, int], str] = {}
"""By device, inode, size and time of change: a renamed file keeps its hash, a rewritten one loses it."""


class _Interrupted(Exception):
    """The transfer broke off for a reason that may pass; what has arrived is kept."""


def file_sha256(path: Path, *, fresh: bool = False) -> str:
    """Hash a file, reading it once per process however often it is asked for; again if `fresh`. Raises OSError."""
    status = path.stat()
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if fresh or identity not in _digests:
        with path.open("rb") as file:
            _digests[identity] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[identity]


def why_unreachable(url: str, timeout_seconds: float = 5.0) -> str | None:
    """Return in words why no server answers at `url`, or None if one does (with whatever status)."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout_seconds).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, http.client.HTTPException) as error:
        return _words(error)
    return None


def download(
    url: str,
    destination: Path,
    *,
    sha256: str,
    size_bytes: int | None = None,
    progress: Progress = lambda received, total: None,
    first_pause_seconds: float = 1.0,
) -> None:
    """Fetch `url` into `destination`, which afterwards exists and has been checked (or was there before).

    `sha256` is the file's hash or its first digits. A broken transfer is taken up where it stopped, up to 5 times in a
    row without a new byte; no connection at all in the first attempt ends it at once. Raises WeightsError, naming the
    URL and the destination, if the server cannot be reached, refuses, or sends another file, or if the disk refuses.
    """
    partial = destination.with_name(destination.name + ".partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        lock = destination.with_name(destination.name + ".lock")
        with FileLock(lock):
            if not destination.is_file():
                _receive(url, partial, size_bytes, progress, first_pause_seconds)
                _check(url, partial, sha256, size_bytes)
                partial.replace(destination)
            # Who waits for it, or comes later and makes a new one, finds the destination.
            lock.unlink(missing_ok=True)
    except _Interrupted as broken:
        raise WeightsError(
            f"{url} must be reachable, got {broken}; check the network or the proxy and try again,"
            f" or put the file at {destination}"
        ) from broken.__cause__
    except OSError as error:
        raise WeightsError(
            f"{destination} must be writable, got {_words(error)}; make room there or choose another --weights-dir"
        ) from error


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a transfer on stderr; without a terminal nothing but its last state is written."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda received, total: bar.update(task, completed=received, total=total)


def _receive(url: str, partial: Path, size_bytes: int | None, progress: Progress, pause_seconds: float) -> None:
    """Transfer into `partial` until it is complete. Raises _Interrupted when that has stopped getting anywhere."""
    fruitless = 0
    answered = False
    while True:
        before = _size(partial)
        try:
            return _receive_rest(url, partial, size_bytes, progress)
        except _Interrupted as broken:
            # A name that does not resolve or a refused connection will not go away in seconds, unless the same
            # server was there a moment ago.
            answered |= not isinstance(broken.__cause__, urllib.error.URLError) or isinstance(
                broken.__cause__, urllib.error.HTTPError
            )
            fruitless = 0 if _size(partial) > before else fruitless + 1
            if not answered or fruitless == _FRUITLESS_ATTEMPTS:
                raise
        time.sleep(pause_seconds * 2 ** max(fruitless - 1, 0))


def _receive_rest(url: str, partial: Path, size_bytes: int | None, progress: Progress) -> None:
    """Ask once for what `partial` lacks. Raises _Interrupted if less comes, WeightsError if it can never come."""
    offset = _size(partial)
    if size_bytes is not None and offset >= size_bytes:
        # Complete, or too long; the check decides.
        return
    headers = {"User-Agent": "condset", **({"Range": f"bytes={offset}-"} if offset else {})}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        if refusal.code == 416 and offset:
            if _total(refusal.headers.get("Content-Range")) == offset:
                return
            partial.unlink()
            raise _Interrupted("a server that cannot continue the part that is there") from refusal
        if refusal.code in _PASSING_STATUS:
            raise _Interrupted(f"HTTP {refusal.code} {refusal.reason}") from refusal
        raise WeightsError(
            f"{url} must be a file, got HTTP {refusal.code} {refusal.reason}; the publisher has moved it or asks for a"
            " login: find it by its name and put it into --weights-dir"
        ) from refusal
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_words(error)) from error
    with answer:
        if answer.status != 206:
            # The whole file, whatever was asked for.
            offset = 0
        length = answer.headers.get("Content-Length")
        total = offset + int(length) if length else None
        if size_bytes is not None and total is not None and total != size_bytes:
            raise WeightsError(
                f"{url} must be {size_bytes} bytes long, got {total}; a proxy answers in its place or the publisher has"
                " replaced it: find the file by its name and sha256 and put it into --weights-dir"
            )
        with partial.open("ab" if offset else "wb") as file:
            while chunk := _read(answer):
                file.write(chunk)
                offset += len(chunk)
                progress(offset, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and offset < total:
        raise _Interrupted(f"{offset} of {total} bytes")


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_words(error)) from error


def _check(url: str, partial: Path, sha256: str, size_bytes: int | None) -> None:
    """Delete `partial` and raise WeightsError if it is not the file that was meant."""
    received = _size(partial)
    # Clocks of file systems tick every few milliseconds: a deleted partial file and its successor can look the same.
    digest = file_sha256(partial, fresh=True)
    if digest.startswith(sha256) and size_bytes in (None, received):
        return
    partial.unlink()
    raise WeightsError(
        f"{url} must have sha256 {sha256}, got {digest} in {received} bytes; the download was deleted: try again,"
        " and if it stays so the publisher has replaced the file"
    )


def _total(content_range: str | None) -> int | None:
    """Read the last number of `bytes 0-9/10` or `bytes */10`."""
    digits = (content_range or "").rpartition("/")[2]
    return int(digits) if digits.isdecimal() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _words(error: Exception) -> str:
    """Say what went wrong without the class names that urllib wraps around it."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
