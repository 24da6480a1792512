from pathlib import Path

import pyarrow as pa
import pytest

from stages.errors import SourceError
from stages.fetch import fetch
from stages.records import IndexRow, Reason
from stages.sources.folder.source import FolderSource
from stages.sources.index.schema import from_table


def rows(source: FolderSource) -> list[IndexRow]:
    return from_table(pa.Table.from_batches(source.batches()))


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_the_label_map_has_the_images_relative_path(tmp_path: Path) -> None:
    write(tmp_path, "images/cats/a.b.JPG", "images/cats/a.b.txt", "labels/cats/a.b.png")
    source = FolderSource(root=str(tmp_path / "images"), labels_root=f"{tmp_path}/labels/")
    (row,) = rows(source)
    assert row.rejection is None
    assert fetch(row.key, source.label_base_uri, row.label_uri) == b"labels/cats/a.b.png"


@pytest.mark.parametrize("spelling", ["labels", "./labels", "../data/labels/", "file://{root}/labels"])
def test_label_maps_below_the_root_are_no_images_however_they_are_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    root = tmp_path / "data"
    write(root, "1.jpg", "1.txt", "labels/1.png", "labels.png", "labels.txt")
    monkeypatch.chdir(root)
    source = FolderSource(root=".", labels_root=spelling.format(root=root))
    assert [(row.image_uri, row.label_uri) for row in rows(source)] == [
        ("1.jpg", "1.png"),
        ("labels.png", "labels.png"),
    ]


def test_an_image_without_label_map_is_rejected_when_it_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, "images/1.jpg", "images/1.txt", "labels/2.png")
    source = FolderSource(root=str(tmp_path / "images"), labels_root=str(tmp_path / "labels"))
    (row,) = rows(source)
    missing = fetch(row.key, source.label_base_uri, row.label_uri)
    assert not isinstance(missing, bytes)
    assert (missing.reason, missing.detail.split()[0]) == (Reason.MISSING_FILE, "1.png")


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "1.jpg")
    with pytest.raises(ValueError, match="labels_root must be another directory than root, got 'a/' for both"):
        FolderSource(root="a", labels_root="a/")
    with pytest.raises(SourceError, match=r"nowhere must be a directory of label maps, got none; fix source\.labels_r"):
        list(FolderSource(root=str(tmp_path), labels_root=f"{tmp_path}/nowhere").batches())


def test_a_file_names_the_categories(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    source = FolderSource(root=str(tmp_path), labels_file=str(file))
    with pytest.raises(SourceError, match=r"names\.txt must list the categories, got no file; fix source\.labels_file"):
        _ = source.labels
    file.write_text("0: unlabelled\n\n255: Fluß\n", encoding="utf-8")
    assert source.labels == {0: "unlabelled", 255: "Fluß"}
    file.write_text("256: too many\n")
    with pytest.raises(SourceError, match=r"lines must be `<category id>: <name>`, got '256: too many'; fix source"):
        _ = source.labels
    file.write_bytes(b"1: Flu\xdf\n")
    with pytest.raises(SourceError, match=r"names\.txt must be readable text in UTF-8, got 'utf-8' codec"):
        _ = source.labels
    assert FolderSource(root=str(tmp_path)).labels == {}


def test_a_label_map_that_two_images_would_take_is_neithers(tmp_path: Path) -> None:
    write(tmp_path, "images/a.jpg", "images/a.webp", "images/a.txt", "images/b/a.jpg", "images/b/a.txt", "labels/a.png")
    first, second, third = rows(FolderSource(root=str(tmp_path / "images"), labels_root=f"{tmp_path}/labels"))
    for row in (first, second):
        assert row.rejection is not None
        assert row.rejection.reason is Reason.BAD_LABELS
    assert first.rejection is not None
    assert first.rejection.detail == (
        "'a.jpg' must have a label map of its own, got a.png for 2 images; rename the others"
    )
    assert third.rejection is None
