"""An object store in memory whose operations pause or fail when they are told to: for tests of what uses storage.

    with rehearsal() as store:
        writer = Directory(store.url("first", "data"))        # rehearsal://<store>-first/data
        store.script("first").fail(3, TimeoutError("slow"))   # its third operation
        pause = store.script("first").pause(5)                # ... and its fifth waits for pause.go_on()

Each actor has a script of its own and all see the same files, so that one writer can be held at any operation while
another one runs. An operation is a call of the driver: info, ls, open, read, cat_file, put_file, rm_file; it takes
effect whole or not at all. `put_file(mode="create")` never replaces a file, as the stores do that condset relies upon.
The store lives in the process that made it.
"""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem, register_implementation

PROTOCOL = "rehearsal"
LONGEST_PAUSE_SECONDS = 60.0
"""An actor that nobody lets go on fails then, so that a test ends."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What an actor has asked of the store."""

    name: str
    path: str
    """Below the store's root."""


class Pause:
    """The place in a script where an actor waits."""

    def __init__(self) -> None:
        self._reached, self._over = threading.Event(), threading.Event()

    def reached(self, timeout_seconds: float = LONGEST_PAUSE_SECONDS) -> bool:
        """Wait until the actor is there; returns whether it is."""
        return self._reached.wait(timeout_seconds)

    def go_on(self) -> None:
        """Let the actor do what it was about to do."""
        self._over.set()

    def hold(self) -> None:
        """Wait here, in the actor's thread; TimeoutError if nobody lets it go on."""
        self._reached.set()
        if not self._over.wait(LONGEST_PAUSE_SECONDS):
            raise TimeoutError(f"paused for {LONGEST_PAUSE_SECONDS:g} s; call go_on()")


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
    after: bool


class Script:
    """What happens to the operations of one actor, by their number: 1 is the first."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        """All so far, in order; those that failed are among them."""
        self._pauses: dict[int, Pause] = {}
        self._failures: dict[int, _Failure] = {}
        self._always: _Failure | None = None
        self._lock = threading.Lock()

    def pause(self, number: int) -> Pause:
        """Hold the actor before its operation of this number."""
        return self._pauses.setdefault(number, Pause())

    def fail(self, number: int, error: Exception, after: bool = False) -> None:
        """Let the operation of this number raise; with `after` once it has taken effect, as where an answer is lost."""
        self._failures[number] = _Failure(error, after)

    def fail_always(self, error: Exception) -> None:
        """Let every operation raise from now on."""
        self._always = _Failure(error, after=False)

    @contextmanager
    def operation(self, name: str, path: str) -> Iterator[None]:
        """Count an operation, whose effect is the block, and do what the script says."""
        with self._lock:
            self.operations.append(Operation(name, path))
            number = len(self.operations)
        if number in self._pauses:
            self._pauses[number].hold()
        failure = self._always or self._failures.get(number)
        if failure and not failure.after:
            raise failure.error
        try:
            yield
        except Exception:
            if not failure:
                raise
        if failure:
            raise failure.error


class Store:
    """The files that all actors see, and the actors' scripts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, bytes] = {}
        """Path below the store's root to content; directories are what paths have in common."""
        self.lock = threading.Lock()
        self._scripts: dict[str, Script] = {}

    def script(self, actor: str) -> Script:
        """The script of an actor: a name without slash or hyphen."""
        return self._scripts.setdefault(actor, Script())

    def url(self, actor: str, path: str) -> str:
        """The location of a path as an actor sees it."""
        return f"{PROTOCOL}://{self.name}-{actor}/{path}"


_STORES: dict[str, Store] = {}


@contextmanager
def rehearsal() -> Iterator[Store]:
    """Make a store, which is there while the block runs."""
    register_implementation(PROTOCOL, RehearsedFileSystem, clobber=True)
    store = Store(uuid.uuid4().hex[:8])
    _STORES[store.name] = store
    try:
        yield store
    finally:
        del _STORES[store.name]


class RehearsedFile(BytesIO):
    """An open file, each read of which is an operation."""

    def __init__(self, content: bytes, script: Script, path: str) -> None:
        super().__init__(content)
        self._script, self._path = script, path

    def read(self, size: int | None = -1) -> bytes:
        with self._script.operation("read", self._path):
            return super().read(size)

    def readline(self, size: int | None = -1) -> bytes:
        with self._script.operation("read", self._path):
            return super().readline(size)


class RehearsedFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's view of a `Store`; made by fsspec from the URLs that `Store.url` gives."""

    protocol = PROTOCOL
    cachable = False

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        store, script, inner = self._take_apart(path)
        with script.operation("info", inner):
            return self._info(store, path, inner)

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        store, script, inner = self._take_apart(path)
        with script.operation("ls", inner):
            root = self._strip_protocol(path).partition("/")[0]
            entries = [self._info(store, f"{root}/{child}", child) for child in self._children(store, inner)]
            if not entries:
                raise FileNotFoundError(path)
            return entries if detail else [entry["name"] for entry in entries]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        store, script, inner = self._take_apart(path)
        with script.operation("cat_file", inner):
            return self._content(store, inner)[start:end]

    def open(self, path: str, mode: str = "rb", **options: Any) -> "RehearsedFile":
        if mode != "rb":
            raise NotImplementedError("files are put whole")
        store, script, inner = self._take_apart(path)
        with script.operation("open", inner):
            return RehearsedFile(self._content(store, inner), script, inner)

    def put_file(self, lpath: str, rpath: str, callback: Any = None, mode: str = "overwrite", **options: Any) -> None:
        store, script, inner = self._take_apart(rpath)
        content = Path(lpath).read_bytes()
        with script.operation("put_file", inner), store.lock:
            if mode == "create" and inner in store.files:
                raise FileExistsError(rpath)
            store.files[inner] = content

    def rm_file(self, path: str) -> None:
        store, script, inner = self._take_apart(path)
        with script.operation("rm_file", inner), store.lock:
            if store.files.pop(inner, None) is None:
                raise FileNotFoundError(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing: an object store has no directories."""

    def _take_apart(self, path: str) -> tuple[Store, Script, str]:
        where, _, inner = self._strip_protocol(path).partition("/")
        name, _, actor = where.partition("-")
        if name not in _STORES:
            raise FileNotFoundError(f"{PROTOCOL}://{where}: the rehearsal is over")
        return _STORES[name], _STORES[name].script(actor), inner.rstrip("/")

    def _content(self, store: Store, inner: str) -> bytes:
        with store.lock:
            if inner not in store.files:
                raise FileNotFoundError(inner)
            return store.files[inner]

    def _info(self, store: Store, path: str, inner: str) -> dict[str, Any]:
        content = store.files.get(inner)
        if content is not None:
            return {"name": path, "size": len(content), "type": "file"}
        if not self._children(store, inner):
            raise FileNotFoundError(path)
        return {"name": path, "size": 0, "type": "directory"}

    def _children(self, store: Store, inner: str) -> list[str]:
        """The paths right below a path, sorted."""
        below = f"{inner}/" if inner else ""
        with store.lock:
            names = [name for name in store.files if name.startswith(below)]
        return sorted({below + name.removeprefix(below).partition("/")[0] for name in names})
