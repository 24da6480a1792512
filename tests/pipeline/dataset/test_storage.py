import pickle
import sys
from pathlib import Path

import pytest

from pipeline.dataset.storage import Directory
from pipeline.run import prepare
from pipeline.verify.dataset import verify
from stages.errors import ConfigError, WorkerError
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with directory.create("a.tar") as file:
        file.write(b"half")
        assert not directory.exists("a.tar")
    assert directory.read("a.tar") == b"half"
    assert directory.names() == ["a.tar"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with pytest.raises(TypeError), directory.create("a.tar") as file:
        file.writelines([b"half", 5])  # type: ignore[list-item]  # fails in the middle
    assert directory.names() == []


def test_two_attempts_at_one_file_do_not_meet(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with directory.create("a.tar") as lost, directory.create("a.tar") as second:
        lost.write(b"lost worker, still writing")
        second.write(b"same bytes")
    assert directory.names() == ["a.tar"]


def test_a_partial_file_that_vanished_is_explained(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    with pytest.raises(WorkerError, match="let only one run write to"), directory.create("a.tar"):
        directory.remove_partials()


def test_partials_of_lost_attempts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    directory.write("a.json", b"{}")
    (tmp_path / "a.tar.123.partial").write_bytes(b"x")
    directory.remove_partials()
    assert directory.names() == ["a.json"]


def test_a_range_is_read_without_the_rest(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    directory.write("a", b"0123456789")
    assert directory.read_range("a", 3, 4) == b"3456"


def test_a_missing_directory_has_no_names(tmp_path: Path) -> None:
    assert Directory(str(tmp_path / "none")).names() == []


def test_a_file_url_is_the_local_directory(tmp_path: Path) -> None:
    directory = Directory(f"file://{tmp_path}/new")
    directory.make()
    with directory.create("a.tar") as file:
        file.write(b"half")
        (partial,) = directory.names()
        assert partial.endswith(".partial")
    assert (tmp_path / "new/a.tar").read_bytes() == b"half"
    assert directory.names() == ["a.tar"]


@pytest.fixture(params=["", "file://", "memory://"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Directory:
    """A new directory by its path and by two kinds of URL."""
    directory = Directory(f"{request.param}{tmp_path}/deep/down")
    directory.make()
    return directory


def test_every_kind_of_directory_does_the_same(anywhere: Directory) -> None:
    anywhere.make()
    assert anywhere.names() == []
    anywhere.write("a.json", b"0123456789")
    anywhere.write("a.json", b"9876543210")
    (anywhere / "shards").make()
    (anywhere / "shards").write("0.tar", b"")
    assert sorted(anywhere.names()) == ["a.json", "shards"]
    assert (anywhere / "shards").names() == ["0.tar"]
    assert anywhere.exists("a.json")
    assert not anywhere.exists("b.json")
    assert anywhere.size("a.json") == 10
    assert anywhere.read("a.json") == b"9876543210"
    assert anywhere.read_range("a.json", 3, 4) == b"6543"
    assert anywhere.read_range("a.json", 8, 4) == b"10"
    with anywhere.open("a.json") as file:
        file.seek(-2, 2)
        assert file.read() == b"10"
    anywhere.remove("a.json")
    anywhere.remove("a.json")
    assert anywhere.names() == ["shards"]
    with pytest.raises(FileNotFoundError):
        anywhere.read("a.json")


def test_a_file_appears_nowhere_before_it_is_complete(anywhere: Directory) -> None:
    with anywhere.create("a.tar") as file:
        file.write(b"half")
        assert not anywhere.exists("a.tar")
    assert anywhere.read("a.tar") == b"half"


def test_an_error_publishes_nothing_anywhere(anywhere: Directory) -> None:
    with pytest.raises(TypeError), anywhere.create("a.tar") as file:
        file.writelines([b"half", 5])  # type: ignore[list-item]  # fails in the middle
    assert anywhere.names() == []


def test_what_another_process_wrote_is_seen_at_once(tmp_path: Path) -> None:
    import fsspec
    from fsspec.implementations.dirfs import DirFileSystem
    from fsspec.implementations.local import LocalFileSystem

    class Remembering(DirFileSystem):  # type: ignore[misc]  # fsspec has no types
        """A store that lists each directory once, as those behind a network do, until it is told to forget."""

        protocol = "remembering"
        cachable = True

        def __init__(self, **options: object) -> None:
            super().__init__(path="/", fs=LocalFileSystem())
            self.listings: dict[str, list[str]] = {}

        def ls(self, path: str, detail: bool = True, **options: object) -> list[str]:
            if path not in self.listings:
                self.listings[path] = super().ls(path, detail=detail)
            return self.listings[path]

        def invalidate_cache(self, path: str | None = None) -> None:
            self.listings.clear()

    fsspec.register_implementation("remembering", Remembering, clobber=True)
    directory = Directory(f"remembering://{tmp_path}")
    assert directory.names() == []
    (tmp_path / "a.json").write_bytes(b"")
    assert directory.names() == ["a.json"]


def test_a_directory_travels_to_workers(anywhere: Directory) -> None:
    anywhere.write("a", b"x")
    assert pickle.loads(pickle.dumps(anywhere)).read("a") == b"x"


def test_a_directory_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="a directory must be a path or URL, got an empty one"):
        Directory("")


def test_a_url_that_nothing_opens_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match="nosuch://b must be a local path or a URL that fsspec can open, got Protocol"
    ):
        Directory("nosuch://b").names()


def test_names_are_listed_without_a_look_at_the_files(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number:07d}.json").touch()
    called: list[str] = []
    sys.setprofile(lambda frame, event, argument: called.append(event) if event.endswith("call") else None)
    try:
        names = Directory(str(tmp_path)).names()
    finally:
        sys.setprofile(None)
    assert len(names) == 1000
    assert 0 < len(called) < 100  # a stat of each would be a thousand


def files_below(location: str) -> dict[str, bytes]:
    import fsspec

    files, root = fsspec.core.url_to_fs(location)
    return {name.removeprefix(root): files.cat_file(name) for name in files.find(root)}


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_data_set_behind_a_url_has_the_bytes_of_a_local_one(
    make_config: Make, run_inline: Run, tmp_path: Path, scheme: str
) -> None:
    out = f"{scheme}://{tmp_path}/there"
    store = WeightsStore(allow_network=False)
    run_inline(make_config(), tmp_path / "here")
    made = prepare(make_config(), Directory(out), offline())
    assert made.shards_made == 3
    assert files_below(out) == files_below(str(tmp_path / "here"))
    assert prepare(make_config(), Directory(out), offline()).shards_made == 0
    assert verify(Directory(out), True, store, "cpu").problems == ()


def test_a_lost_shard_behind_a_url_is_made_again(make_config: Make, tmp_path: Path) -> None:
    out = Directory(f"memory://{tmp_path}/data")
    prepare(make_config(), out, offline())
    before = files_below(str(out))
    out.remove("records/0000001.json")
    (out / "shards").write("0000001.tar", b"what a worker left before it committed")
    assert prepare(make_config(), out, offline()).shards_made == 1
    assert files_below(str(out)) == before
