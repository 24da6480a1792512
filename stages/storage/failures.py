"""What storage does to a run, in one line: whatever a driver raises becomes a `StorageError`.

    botocore, aiohttp, huggingface_hub, the kernel ──storage_failures(where, doing)──> where, expected, got, what to do

A file that is not there stays a FileNotFoundError while it is read: callers expect that. Drivers hide other failures in
one (fsspec's over HTTP does so with a 503), so what caused it is looked at first. Errors are told apart by their types,
numbers and statuses, never by their words.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from stages.errors import CondsetError, StorageError

LONGEST_REASON_CHARACTERS = 300
"""A store's page of HTML is no reason that anybody reads."""
NO_SUCH = frozenset({404, 410})
UNKNOWN_CALLER = frozenset({401, 407})
FORBIDDEN = frozenset({402, 403, 405})
LATER = frozenset({408, 423, 425, 429})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RIGHTS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
WRONG_KIND = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
PASSING = frozenset(
    {
        *(errno.EBUSY, errno.EAGAIN, errno.EREMOTEIO, errno.ESTALE, errno.ETIMEDOUT),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE),
    }
)
NETWORK_LIBRARIES = ("aiohttp", "urllib3", "requests", "httpx", "httpx2", "httpcore", "botocore")
"""What these raise without a status is about a connection, unless it is about credentials."""
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "s3a": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    "hf": "HF_TOKEN, or `hf auth login`",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""How a driver is told who asks, by the scheme of its URLs."""

GO_ON = "run again when the storage answers: what is there stays, and the run goes on from it"


class Doing(StrEnum):
    """What is done to a place when it fails; the value is what the place was expected to be."""

    READ = "readable"
    LIST = "a directory that can be listed"
    WRITE = "writable"


@contextmanager
def storage_failures(where: str, doing: Doing) -> Iterator[None]:
    """Turn what a driver raises in the block into a StorageError that names `where`.

    Only calls of a driver belong into it. A CondsetError passes. While something is read or listed, what says that it
    is not there is a FileNotFoundError; what is written to must be there.
    """
    try:
        yield
    except (CondsetError, TypeError):  # that is a bug, wherever it is
        raise
    except Exception as error:
        if doing is not Doing.WRITE and is_missing(error):
            said = error.strerror if isinstance(error, OSError) and error.strerror else "No such file or directory"
            raise FileNotFoundError(errno.ENOENT, said, where) from error
        raise storage_error(error, where, doing) from error


def is_missing(error: BaseException) -> bool:
    """Whether an error says that there is no such file (a folder is none), rather than that nobody could tell."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return False
    causes = list(_causes(error))[1:]
    statuses = [status for each in causes if (status := http_status(each)) is not None]
    return statuses[0] in NO_SUCH if statuses else not any(map(_is_passing, causes))


def storage_error(error: Exception, where: str, doing: Doing) -> StorageError:
    """Say in one line what storage has done, and what to do about it."""
    return StorageError(f"{where} must be {doing.value}, got {_reason(error)}; {_advice(error, where, doing)}")


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an error of a driver carries, wherever its library keeps it; None without one."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status: object = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:  # huggingface_hub, httpx, requests; aiohttp; gcsfs
        status = (
            getattr(response, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
        )
    number = int(status) if isinstance(status, str) and status.isdecimal() else status
    return number if isinstance(number, int) and 400 <= number < 600 else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and, one after the other, what it was raised from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__


def _status(error: BaseException) -> int | None:
    return next((status for each in _causes(error) if (status := http_status(each)) is not None), None)


def _is_about_credentials(error: BaseException) -> bool:
    """Whether a driver has none, or none that are complete: botocore's and Google's errors are named for that."""
    names = {kind.__name__ for each in _causes(error) for kind in type(each).__mro__}
    return any(name.endswith(("CredentialsError", "CredentialRetrievalError", "ProfileNotFound")) for name in names)


def _is_passing(error: BaseException) -> bool:
    """Whether an error without a status is one of the network or of a busy store."""
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError) and error.errno in PASSING:
        return True
    return type(error).__module__.partition(".")[0] in NETWORK_LIBRARIES


def _reason(error: BaseException) -> str:
    status = _status(error)
    if isinstance(error, OSError) and error.errno and error.strerror and type(error).__module__ == "builtins":
        said = str(error.strerror)
    else:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    said = " ".join(said.split())
    if len(said) > LONGEST_REASON_CHARACTERS:
        said = f"{said[:LONGEST_REASON_CHARACTERS]}..."
    return said if status is None else f"HTTP {status} ({said})"


def _advice(error: BaseException, where: str, doing: Doing) -> str:
    status, number = _status(error), error.errno if isinstance(error, OSError) else None
    scheme, separator, _ = where.partition("://")
    is_remote = bool(separator) and scheme not in ("file", "local")
    credentials = CREDENTIALS.get(scheme, "the driver's settings")
    if status in UNKNOWN_CALLER or _is_about_credentials(error):
        return f"check its name and the credentials ({credentials}), and run again"
    if status in FORBIDDEN or number in RIGHTS or isinstance(error, PermissionError):
        if is_remote:
            right = "write" if doing is Doing.WRITE else "read"
            return f"get the right to {right} there, or use other credentials ({credentials}), and run again"
        return "change its rights, or give another directory"
    if status in LATER or (status or 0) >= 500:
        return GO_ON
    if number in FULL:
        return "make room there, or give another directory, and run again"
    if status in NO_SUCH or isinstance(error, FileNotFoundError):
        if is_remote:
            return "check the name of the bucket, or make it, and run again: none is made for you"
        return "make it, and if several machines work, give a directory that all of them share under this path"
    if number in WRONG_KIND or isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
        return "give another directory"
    if isinstance(error, NotImplementedError):
        return "give a place whose driver can do that"
    if any(map(_is_passing, _causes(error))):
        return GO_ON
    return "fix the storage, and run again"
