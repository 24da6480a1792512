"""Download one large file so that under its own name it is complete and checked, or not there at all.

    url ──Range──> <file>.partial ──size, sha256──> <file>
                      └── outlives an interruption: the next attempt asks for the rest

Invariant: a file gets its final name only after its hash has been checked. Several processes that want the same file
take turns, and all but the first find it there.
"""

import http.client
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from stages.errors import CondsetError
from stages.file_hash import file_sha256
from stages.locations import PARTIAL
from stages.web.progress import Progress, Show, no_progress

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 10.0
"""For connecting, and for any pause within the transfer: a stalled server is asked for the rest instead."""
_FRUITLESS_ATTEMPTS = 5
"""Attempts in a row that brought no byte; at 1, 2, 4, 8 seconds of pause this is a quarter of a minute."""
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_GONE_STATUS = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file that is published somewhere, where it shall lie, and what its user is told if it cannot come."""

    url: str
    destination: Path
    error: type[CondsetError]
    """Raised for whatever goes wrong."""
    option: str
    """The command's option that names another place for it, such as --weights-dir."""
    sha256: str = ""
    """The file's hash or its first digits; empty if the publisher gives none, and then only the size is checked."""
    size_bytes: int | None = None

    @property
    def partial(self) -> Path:
        """Where it grows, and waits if the transfer is interrupted."""
        return self.destination.with_name(self.destination.name + PARTIAL)


class _Interrupted(Exception):
    """The transfer broke off for a reason that may pass; what has arrived is kept."""


def why_unreachable(url: str, timeout_seconds: float = 5.0) -> str | None:
    """Return in words why no server answers at `url`, or None if one does (with whatever status)."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout_seconds).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, http.client.HTTPException) as error:
        return _words(error)
    return None


def announced_bytes(file: WebFile) -> int | None:
    """Ask how long a file is without fetching it; None if the server does not say.

    Raises `file.error` if no server answers, has no such file, or has another one in its place.
    """
    request = urllib.request.Request(file.url, method="HEAD", headers={"User-Agent": "condset"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            return _length(file, answer, 0)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        if refusal.code in _GONE_STATUS:
            raise _refused(file, refusal) from refusal
        return None  # not every server answers to HEAD; the transfer itself will tell
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(file, _words(error)) from error


def download(file: WebFile, show: Show = no_progress, first_pause_seconds: float = 1.0) -> None:
    """Fetch a file to its destination, which afterwards exists and has been checked (or was there before).

    A broken transfer is taken up where it stopped, up to 5 times in a row without a new byte; no connection at all in
    the first attempt ends it at once. Raises `file.error`, naming the URL and the destination, if the server cannot be
    reached, refuses, or sends another file, or if the disk refuses.
    """
    try:
        file.destination.parent.mkdir(parents=True, exist_ok=True)
        lock = file.destination.with_name(file.destination.name + ".lock")
        with FileLock(lock):
            if not file.destination.is_file():
                with show(file.destination.name) as progress:
                    _receive(file, progress, first_pause_seconds)
                with show(f"checking {file.destination.name}") as progress:
                    _check(file, progress)
                file.partial.replace(file.destination)
            # Who waits for it, or comes later and makes a new one, finds the destination.
            lock.unlink(missing_ok=True)
    except _Interrupted as broken:
        raise _unreachable(file, str(broken)) from broken.__cause__
    except OSError as error:
        raise file.error(
            f"{file.destination} must be writable, got {_words(error)}; make room there or choose another {file.option}"
        ) from error


def _receive(file: WebFile, progress: Progress, pause_seconds: float) -> None:
    """Transfer into `file.partial` until it is complete. Raises _Interrupted when that has stopped getting anywhere."""
    fruitless = 0
    answered = False
    while True:
        before = _size(file.partial)
        try:
            return _receive_rest(file, progress)
        except _Interrupted as broken:
            # A name that does not resolve or a refused connection will not go away in seconds, unless the same
            # server was there a moment ago.
            answered |= not isinstance(broken.__cause__, urllib.error.URLError) or isinstance(
                broken.__cause__, urllib.error.HTTPError
            )
            fruitless = 0 if _size(file.partial) > before else fruitless + 1
            if not answered or fruitless == _FRUITLESS_ATTEMPTS:
                raise
        time.sleep(pause_seconds * 2 ** max(fruitless - 1, 0))


def _receive_rest(file: WebFile, progress: Progress) -> None:
    """Ask once for what `file.partial` lacks. Raises _Interrupted if less comes, `file.error` if it can never come."""
    offset = _size(file.partial)
    if file.size_bytes is not None and offset >= file.size_bytes:
        # Complete, or too long; the check decides.
        return
    headers = {"User-Agent": "condset", **({"Range": f"bytes={offset}-"} if offset else {})}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(file.url, headers=headers), timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        if refusal.code == 416 and offset:
            if _total(refusal.headers.get("Content-Range")) == offset:
                return
            file.partial.unlink()
            raise _Interrupted("a server that cannot continue the part that is there") from refusal
        if refusal.code in _PASSING_STATUS:
            raise _Interrupted(f"HTTP {refusal.code} {refusal.reason}") from refusal
        raise _refused(file, refusal) from refusal
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_words(error)) from error
    with answer:
        if answer.status != 206:
            # The whole file, whatever was asked for.
            offset = 0
        # Judged before a byte is written: the login page of a hotel's network must not replace a part that took hours.
        total = _length(file, answer, offset)
        progress(offset, total)
        with file.partial.open("ab" if offset else "wb") as partial:
            while chunk := _read(answer):
                partial.write(chunk)
                offset += len(chunk)
                progress(offset, total)
            partial.flush()
            os.fsync(partial.fileno())
    if total is not None and offset < total:
        raise _Interrupted(f"{offset} of {total} bytes")


def _length(file: WebFile, answer: http.client.HTTPResponse, offset: int) -> int | None:
    """Return the length of the whole file by the head of an answer that starts at `offset`, if it says so.

    Raises `file.error` if the answer is a web page, or of another length than the file that was meant.
    """
    if answer.headers.get_content_type() == "text/html":
        raise file.error(
            f"{file.url} must be a file, got a web page; a proxy or a login answers in its place: open the address in a"
            f" browser, and put the file at {file.destination} or try again"
        )
    length = answer.headers.get("Content-Length")
    total = offset + int(length) if length else None
    if file.size_bytes is not None and total is not None and total != file.size_bytes:
        raise file.error(
            f"{file.url} must be {file.size_bytes} bytes long, got {total}; a proxy answers in its place or the"
            f" publisher has replaced it: find the file by its name and sha256 and put it at {file.destination}"
        )
    return total


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK_BYTES)  # what is there, so that a stall costs nothing that has arrived
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_words(error)) from error


def _check(file: WebFile, progress: Progress) -> None:
    """Delete `file.partial` and raise `file.error` if it is not the file that was meant."""
    received = _size(file.partial)
    # Clocks of file systems tick every few milliseconds: a deleted partial file and its successor can look the same.
    digest = file_sha256(file.partial, fresh=True, progress=progress)
    if digest.startswith(file.sha256) and file.size_bytes in (None, received):
        return
    file.partial.unlink()
    raise file.error(
        f"{file.url} must have sha256 {file.sha256 or 'unknown'}, got {digest} in {received} bytes; the download was"
        " deleted: try again; if that does not help, the publisher has replaced the file"
    )


def _unreachable(file: WebFile, reason: str) -> CondsetError:
    return file.error(
        f"{file.url} must be reachable, got {reason}; check the network or the proxy and try again, or put the file at"
        f" {file.destination}"
    )


def _refused(file: WebFile, refusal: urllib.error.HTTPError) -> CondsetError:
    return file.error(
        f"{file.url} must be a file, got HTTP {refusal.code} {refusal.reason}; the publisher has moved it or asks for a"
        f" login: find it by its name and put it at {file.destination}"
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
