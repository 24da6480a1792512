"""Whatever a driver raises is one line: which place, what was expected, what came, what to do."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import botocore.exceptions  # type: ignore[import-untyped]
import pytest
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from pipeline.dataset.storage import Directory
from stages.errors import CondsetError, StorageError
from stages.rehearsal.storage import rehearsal
from stages.storage.failures import Doing, is_missing, storage_error

LATER = "run again when the storage answers: what is there stays, and the run goes on from it"
USE: dict[str, Callable[[Directory], Any]] = {
    "names": lambda directory: directory.names(),
    "sizes": lambda directory: directory.sizes(),
    "exists": lambda directory: directory.exists("a"),
    "size": lambda directory: directory.size("a"),
    "read": lambda directory: directory.read("a"),
    "read_range": lambda directory: directory.read_range("a", 1, 2),
    "open": lambda directory: directory.open("a"),
    "remove": lambda directory: directory.remove("a"),
    "write": lambda directory: directory.write("a", b"x"),
    "publish": lambda directory: published(directory),
    "remove_partials": lambda directory: directory.remove_partials(),
}
"""Every method that asks the storage for something."""


def published(directory: Directory) -> None:
    with directory.publish("a") as file:
        file.write(b"x")


def aiohttps(status: int) -> Exception:
    request = aiohttp.RequestInfo(URL("https://x/a"), "GET", CIMultiDictProxy(CIMultiDict()), URL("https://x/a"))
    return aiohttp.ClientResponseError(request, (), status=status, message="said")


def botocores(status: int, code: str) -> Exception:
    answer: Any = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = botocore.exceptions.ClientError(answer, "GetObject")
    return error


def hubs(status: int, kind: type[HfHubHTTPError] = HfHubHTTPError) -> Exception:
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("said", response=response)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


FAILURES = {
    "disk": (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error", "fix the storage, and run again"),
    "full": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device", "make room there, or give"),
    "stale": (OSError(errno.ESTALE, os.strerror(errno.ESTALE)), "Stale file handle", LATER),
    "rights": (PermissionError("no"), "PermissionError: no", "or use other credentials"),
    "timeout": (TimeoutError(), "TimeoutError", LATER),
    "reset": (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer", LATER),
    "aiohttp 503": (aiohttps(503), "HTTP 503 (ClientResponseError: 503, message='said'", LATER),
    "aiohttp 401": (aiohttps(401), "HTTP 401 ", "check its name and the credentials"),
    "aiohttp gone": (aiohttp.ServerDisconnectedError(), "ServerDisconnectedError: Server disconnected", LATER),
    "s3 503": (botocores(503, "SlowDown"), "HTTP 503 (ClientError: An error occurred (SlowDown)", LATER),
    "s3 403": (
        caused(PermissionError("Forbidden"), botocores(403, "403")),
        "HTTP 403 (PermissionError: For",
        "right to",
    ),
    "s3 nobody": (
        botocore.exceptions.NoCredentialsError(),
        "NoCredentialsError: Unable to locate",
        "check its name and",
    ),
    "s3 closed": (botocore.exceptions.ConnectionClosedError(endpoint_url="https://x"), "ConnectionClosedError", LATER),
    "hub 500": (hubs(500), "HTTP 500 (HfHubHTTPError: said)", LATER),
    "hub 403": (hubs(403), "HTTP 403 (HfHubHTTPError: said)", "get the right to"),
    "hidden 503": (caused(FileNotFoundError("https://x/a"), aiohttps(503)), "HTTP 503 (", LATER),
    "hidden 401": (caused(FileNotFoundError("a"), hubs(401, RepositoryNotFoundError)), "HTTP 401 (", "check its name"),
    "unknown": (RuntimeError("a\nb " + 500 * "c"), "RuntimeError: a b ccc", "fix the storage, and run again"),
}


@pytest.mark.parametrize("use", USE)
@pytest.mark.parametrize("failure", FAILURES)
def test_every_method_of_a_directory_turns_every_failure_into_one_line(use: str, failure: str) -> None:
    error, got, advice = FAILURES[failure]
    with rehearsal() as store:
        directory = Directory(store.url("one", "data"))
        directory.write("a", b"0123")
        store.script("one").fail_always(error)
        with pytest.raises(StorageError) as caught:
            USE[use](directory)
    text = str(caught.value)
    assert text.startswith(str(directory))
    assert f", got {got}" in text
    assert advice in text
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize("failure", FAILURES)
def test_an_open_file_fails_in_one_line_too(failure: str) -> None:
    error, got, _ = FAILURES[failure]
    with rehearsal() as store:
        directory = Directory(store.url("one", "data"))
        directory.write("a", b"0\n123")
        with directory.open("a") as file:
            assert [file.readline(), file.read(1), bytes(file.seek(0))] == [b"0\n", b"1", b""]
            store.script("one").fail_always(error)
            for read in (file.read, file.readline, file.readlines):
                with pytest.raises(StorageError, match="data/a must be readable") as caught:
                    read()
                assert got in str(caught.value)


@pytest.mark.parametrize("cause", [None, aiohttps(404), botocores(404, "NoSuchKey"), hubs(404), ValueError("a")])
def test_what_is_not_there_stays_what_callers_expect(cause: Exception | None) -> None:
    error = FileNotFoundError("a")
    error.__cause__ = cause
    assert is_missing(error)
    with rehearsal() as store:
        directory = Directory(store.url("one", "data"))
        store.script("one").fail_always(error)
        assert (directory.names(), directory.sizes(), directory.exists("a")) == ([], {}, False)
        directory.remove("a")
        for use in ("size", "read", "read_range", "open"):
            with pytest.raises(FileNotFoundError):
                USE[use](directory)


def test_a_place_to_write_to_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        Directory(str(tmp_path / "none")).write("a", b"x")
    assert str(caught.value) == (
        f"{tmp_path}/none/a must be writable, got No such file or directory; make it, and if several machines work, "
        "give a directory that all of them share under this path"
    )
    error = storage_error(FileNotFoundError("NoSuchBucket"), "s3://typo/a", Doing.WRITE)
    assert str(error) == (
        "s3://typo/a must be writable, got FileNotFoundError: NoSuchBucket; check the name of the bucket, or make it, "
        "and run again: none is made for you"
    )


@pytest.mark.parametrize(("scheme", "words"), [("s3", "AWS_ACCESS_KEY_ID"), ("hf", "HF_TOKEN"), ("gs", "GOOGLE_")])
def test_who_has_no_credentials_is_told_where_they_go(scheme: str, words: str) -> None:
    error = botocore.exceptions.NoCredentialsError()
    assert f"the credentials ({words}" in str(storage_error(error, f"{scheme}://b/a", Doing.READ))


def test_an_object_store_is_never_asked_to_make_a_bucket() -> None:
    import fsspec

    made: list[str] = []

    class Buckets(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
        protocol = ("s3a", "oci")

        def makedirs(self, path: str, exist_ok: bool = False) -> None:
            made.append(path)

    fsspec.register_implementation("oci", Buckets, clobber=True)
    (Directory("oci://typo/data") / "shards").make()
    assert made == []


@pytest.mark.parametrize("use", USE)
def test_a_local_directory_without_rights_or_room_is_one_line(use: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    directory = Directory(str(tmp_path / "taken"))  # a file: nothing can lie in it
    if use in ("exists", "remove", "names", "sizes", "remove_partials"):
        assert not USE[use](directory)
    else:
        with pytest.raises((StorageError, FileNotFoundError)):
            USE[use](directory)


def test_a_bug_is_no_failure_of_the_storage(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Directory(str(tmp_path)).write("a", "text")  # type: ignore[arg-type]
    assert not issubclass(StorageError, OSError)
    assert issubclass(StorageError, CondsetError)
