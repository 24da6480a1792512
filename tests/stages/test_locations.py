"""Reading behind a URL, where each driver fails in its own way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from stages.errors import SourceError
from stages.locations import file_system, is_hidden, open_file, read_bytes
from stages.sources.file_patterns import find_names
from stages.sources.folder.listing import list_files, read_files
from stages.sources.folder.source import FolderSource
from stages.sources.laion.source import LaionSource
from stages.sources.webdataset.source import WebDatasetSource

CONTENT = bytes(range(100)) * 100_000


class DriverError(Exception):
    """Of no kind that fsspec promises."""


class Store(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store: no range of an empty object can be had, and it may be out of reach."""

    protocol = "store"
    out_of_reach = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("store://").strip("/")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        if self.size(path) == 0 and (start, end) != (None, None):
            raise DriverError("416 Requested Range Not Satisfiable")
        return bytes(super().cat_file(path, start, end, **options))

    def info(self, path: str, **options: object) -> dict[str, Any]:
        if Store.out_of_reach:
            raise DriverError("no credentials")
        found: dict[str, Any] = super().info(path, **options)
        return found

    def find(self, path: str, **options: object) -> list[str]:
        if Store.out_of_reach:
            raise DriverError("no credentials")
        found: list[str] = super().find(path, **options)
        return found


class HubFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file of `Hub`, which notes what is asked for."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        self.fs.asked.append((start, end))
        return CONTENT[start:end]


class Hub(AbstractFileSystem):  # type: ignore[misc]
    """Reads ranges through buffered files, as the hub's driver does."""

    protocol = "hf"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []

    def info(self, path: str, **options: object) -> dict[str, Any]:
        return {"name": path, "size": len(CONTENT), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **options: object) -> HubFile:
        return HubFile(self, path, mode, **options)


@pytest.fixture
def store() -> Iterator[Store]:
    fsspec.register_implementation("store", Store, clobber=True)
    files = Store()
    files.pipe("/bucket/empty.txt", b"")
    files.pipe("/bucket/0.tar", b"x" * 2048)
    yield files
    Store.out_of_reach = False
    files.rm("/bucket", recursive=True)


def test_an_empty_range_is_not_asked_for(store: Store) -> None:
    assert read_bytes(store, "/bucket/empty.txt", 512, 512) == b""


def test_the_start_of_an_empty_object_is_empty(store: Store) -> None:
    assert read_bytes(store, "/bucket/empty.txt", None, 100) == b""
    assert list(read_files("store://bucket", ["empty.txt"], most_bytes=99)) == [b""]


def test_a_missing_object_is_missing(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        read_bytes(store, "/bucket/none.txt", None, 100)


def test_no_more_of_the_hubs_files_is_fetched_than_is_asked_for() -> None:
    hub = Hub()
    assert read_bytes(hub, "owner/pictures/0.tar", 512, 1512) == CONTENT[512:1512]
    assert hub.asked == [(512, 1512)]


def test_a_read_that_fails_is_an_oserror(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    files, path = file_system("store://bucket/0.tar")
    with open_file(files, path) as file:
        assert (file.seek(2), file.tell(), file.read(1)) == (2, 2, b"x")
        monkeypatch.setattr(type(files.open(path)), "read", _fail)
        with pytest.raises(OSError, match="DriverError: no range"):
            file.read()


def test_a_storage_that_fails_while_a_tar_is_listed_is_no_cut_tar(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store.open("/bucket/0.tar")), "read", _fail)
    with pytest.raises(SourceError, match=r"store://bucket/0\.tar must be readable, got DriverError: no range; fix"):
        list(WebDatasetSource(root="store://bucket", tars="0.tar").batches())


@pytest.mark.parametrize(
    "source",
    [
        FolderSource(root="store://bucket"),
        LaionSource(root="store://bucket", files="*.parquet"),
        WebDatasetSource(root="store://bucket", tars="*.tar"),
    ],
)
@pytest.mark.usefixtures("store")
def test_a_storage_that_is_out_of_reach_is_one_line(
    source: FolderSource | LaionSource | WebDatasetSource,
) -> None:
    Store.out_of_reach = True
    with pytest.raises(SourceError, match=r"^store://bucket must be readable, got DriverError: no credentials; fix"):
        list(source.batches())


def test_all_files_of_a_store_are_listed(store: Store) -> None:
    assert list_files("store://bucket") == ["0.tar", "empty.txt"]


def _fail(*_: object) -> bytes:
    raise DriverError("no range")


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        *[("._x.tar", True), (".DS_Store", True), (".ipynb_checkpoints/a.png", True), ("a/_temporary/0/b.tar", True)],
        *[("__MACOSX/a.png", True), ("a/b.png", False), ("_a.png", False), ("a.b", False), ("./a", False)],
    ],
)
def test_one_name_is_hidden_for_every_listing(name: str, hidden: bool) -> None:
    assert is_hidden(name) is hidden


def test_patterns_pass_hidden_files_over_and_plain_names_do_not(tmp_path: Path) -> None:
    for name in ("a.tar", "._a.tar", "_temporary/0/b.tar", ".ipynb_checkpoints/c.tar", "d/e.tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files, root = file_system(str(tmp_path))
    assert find_names(files, root, "x", "source.tars", ["**/*.tar"]) == ("a.tar", "d/e.tar")
    assert find_names(files, root, "x", "source.tars", ["._a.tar", "*.tar"]) == ("._a.tar", "a.tar")
    with pytest.raises(SourceError, match=r"source\.tars _temporary/\*/\*\.tar must match files in x, got none"):
        find_names(files, root, "x", "source.tars", ["_temporary/*/*.tar"])
