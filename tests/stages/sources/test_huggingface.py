import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import pyarrow as pa
import pytest
from PIL import Image

from stages.errors import SourceError
from stages.fetch import fetch
from stages.records import IndexRow, Reason, Rejection
from stages.sources.huggingface import HuggingFaceSource, open_images
from stages.sources.index.schema import from_table

Save: TypeAlias = Callable[..., HuggingFaceSource]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    open_images.cache_clear()


def rows(source: HuggingFaceSource) -> list[IndexRow]:
    return from_table(pa.Table.from_batches(source.batches()))


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (70, 70), (number, 0, 0)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves columns with `save_to_disk`."""

    def save_columns(features: datasets.Features | None = None, **columns: list[Any]) -> HuggingFaceSource:
        datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "saved")
        return HuggingFaceSource(path=str(tmp_path / "saved"))

    datasets.disable_progress_bars()
    return save_columns


def test_the_image_files_come_out_undecoded(save: Save) -> None:
    pictures = [picture(number) for number in range(3)]
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    source = save(features, image=[{"bytes": each, "path": None} for each in pictures], text=["a", " b\n", "c"])
    listed = rows(source)
    assert [(row.key, row.image_uri, row.captions) for row in listed] == [
        ("000000000", "row:0/3", ("a",)),
        ("000000001", "row:1/3", ("b",)),
        ("000000002", "row:2/3", ("c",)),
    ]
    assert [fetch(row.key, source.base_uri, row.image_uri) for row in listed] == pictures


def test_bytes_and_paths_are_images_too(save: Save, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(picture(1))
    source = save(raw=[picture(5), b""], path=[str(tmp_path / "1.png"), "none.png"], text=["a", "b"])
    source = source.model_copy(update={"images_root": str(tmp_path)})
    raw, path = (source.model_copy(update={"image_column": column}) for column in ("raw", "path"))
    assert fetch("k", raw.base_uri, "row:0/2") == picture(5)
    assert fetch("k", path.base_uri, "row:0/2") == picture(1)
    assert fetch("k", path.base_uri, "row:1/2") == Rejection(
        "k", Reason.MISSING_FILE, "none.png must be a file below the source's root, got none"
    )


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "file:///etc/passwd", "../secret.png", "a/../../secret.png", "\0", "C:/x"]
)
@pytest.mark.parametrize("kind", ["path", "Image"])
def test_a_path_that_leads_out_of_the_images_is_refused_and_nothing_of_it_is_shown(
    save: Save, tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    image = {"bytes": pa.binary(), "path": pa.string()}
    table = pa.table(
        {"image": [name] if kind == "path" else pa.array([{"bytes": None, "path": name}], pa.struct(image))}
    )
    datasets.Dataset(table.append_column("text", [["a"]])).save_to_disk(tmp_path / "saved")
    source = HuggingFaceSource(path=str(tmp_path / "saved"))
    (row,) = rows(source)
    lost = fetch(row.key, source.base_uri, row.image_uri)
    assert lost == Rejection(
        row.key,
        Reason.BAD_NAME,
        f"row 0 must name an image below source.images_root, got {name!r}; set it if these images are yours",
    )


def test_an_address_on_the_web_becomes_the_image_uri(save: Save) -> None:
    first, second = rows(save(image=["https://host/1.jpg", "local.png"], text=["a", "b"]))
    assert (first.image_uri, first.source_url) == ("https://host/1.jpg", "https://host/1.jpg")
    assert (second.image_uri, second.source_url) == ("row:1/2", "")


@pytest.mark.parametrize("dtype", ["large_string", "string_view"])
def test_texts_may_be_of_any_of_arrows_kinds(save: Save, dtype: str) -> None:
    """Pandas and Polars write the longer and the newer one."""
    features = datasets.Features({"image": datasets.Value(dtype), "text": datasets.Value(dtype)})
    (row,) = rows(save(features, image=["https://host/1.jpg"], text=["a"]))
    assert (row.image_uri, row.captions) == ("https://host/1.jpg", ("a",))


@pytest.mark.parametrize(("kind", "columns"), [("pandas", None), ("arrow", None), ("numpy", ["text"])])
def test_the_format_that_a_data_set_was_saved_with_does_not_matter(
    tmp_path: Path, kind: str, columns: list[str] | None
) -> None:
    saved = datasets.Dataset.from_dict({"image": [b"x"], "text": ["a"]})
    saved.set_format(kind, columns=columns)
    saved.save_to_disk(tmp_path / "saved")
    source = HuggingFaceSource(path=str(tmp_path / "saved"))
    (row,) = rows(source)
    assert row.captions == ("a",)
    assert fetch("k", source.base_uri, row.image_uri) == b"x"


@pytest.mark.parametrize(
    "path",
    ["row:0/1", "scene:0/1/70x70", "member:x?offset=0&bytes=1", "simplecache::http://10.0.0.1/1.jpg", "s3://b/1"],
)
def test_a_path_in_a_column_leads_to_local_files_only(save: Save, path: str) -> None:
    lost = fetch("k", save(image=[path], text=["a"]).base_uri, "row:0/1")
    assert isinstance(lost, Rejection)
    assert lost.reason is Reason.MISSING_FILE


def test_captions_may_be_bytes_and_one_that_is_too_long_is_none(save: Save) -> None:
    texts = ["é".encode(), b"\xff", b"x" * 40_000, b"y"]
    assert [row.captions for row in rows(save(image=[b"x"] * 4, text=texts))] == [("é",), (), (), ("y",)]
    lists = [["a" * 40_000, "b"], ["c"], None, [b"d".decode()]]
    assert [row.captions for row in rows(save(image=[b"x"] * 4, text=lists))] == [(), ("c",), (), ("d",)]


def test_captions_may_be_lists_and_a_row_without_one_is_rejected(save: Save) -> None:
    source = save(image=[b"x"] * 3, text=[["one", " two "], [], [None, ""]])
    first, second, third = rows(source)
    assert first.captions == ("one", "two")
    for row in (second, third):
        assert row.rejection is not None
        assert row.rejection.reason is Reason.NO_CAPTION
    assert second.rejection == Rejection("000000001", Reason.NO_CAPTION, "row 1 has no caption in column 'text'")


@pytest.mark.parametrize("kind", ["bytes", "Image"])
def test_an_image_that_is_larger_than_it_may_be_is_a_rejection(save: Save, kind: str) -> None:
    image: object = b"12345" if kind == "bytes" else {"bytes": b"12345", "path": None}
    source = save(image=[image], text=["a"])
    assert fetch("k", source.base_uri, "row:0/1", most_bytes=5) == b"12345"
    assert fetch("k", source.base_uri, "row:0/1", most_bytes=4) == Rejection(
        "k",
        Reason.TOO_LARGE,
        "row 0 must have an image of at most 4 bytes, got 5; fetch.max_file_bytes allows more",
    )


def test_a_row_without_image_is_a_rejection(save: Save) -> None:
    source = save(image=[b"x", None], text=["a", "b"])
    assert fetch("k", source.base_uri, "row:1/2") == Rejection(
        "k", Reason.MISSING_FILE, "row 1 must have an image or its local path, got None"
    )


def test_a_data_set_that_has_changed_since_it_was_listed_is_an_error(save: Save) -> None:
    source = save(image=[b"x"], text=["a"])
    with pytest.raises(SourceError, match=r"must have the 2 rows that were listed, got 1; set source\.revision"):
        fetch("k", source.base_uri, "row:0/2")


def test_a_split_of_a_saved_dictionary_and_its_absence(tmp_path: Path, save: Save) -> None:
    part = datasets.Dataset.from_dict({"image": [b"x"], "text": ["a"]})
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk(tmp_path / "splits")
    source = HuggingFaceSource(path=str(tmp_path / "splits"), split="test")
    assert len(rows(source)) == 1
    with pytest.raises(SourceError, match=r"source\.split must be one of .*splits's, got 'val'; it has train, test"):
        rows(source.model_copy(update={"split": "val"}))


def test_a_directory_of_data_files_is_loaded_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my pictures?"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes(picture(number))
    (folder / "metadata.jsonl").write_text(
        "".join(f'{{"file_name": "{number}.png", "text": "image {number}"}}\n' for number in range(2))
    )
    datasets.enable_progress_bars()
    source = HuggingFaceSource(path=str(folder))
    listed = rows(source)
    assert [row.captions for row in listed] == [("image 0",), ("image 1",)]
    assert [fetch(row.key, source.base_uri, row.image_uri) for row in listed] == [picture(0), picture(1)]
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_column": "img"}, r"source\.image_column must be a column of .*, got 'img'; it has image, text"),
        ({"caption_column": "cap"}, r"source\.caption_column must be a column of .*, got 'cap'; it has image, text"),
    ],
)
def test_a_missing_column_is_named(save: Save, changes: dict[str, str], message: str) -> None:
    source = save(image=[b"x"], text=["a"]).model_copy(update=changes)
    with pytest.raises(SourceError, match=message):
        rows(source)


def test_what_datasets_cannot_load_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "card").mkdir()
    (tmp_path / "card/README.md").write_text("---\ndataset_info:\n  features:\n  - dtype: string\n---\n")
    (tmp_path / "card/x.csv").write_text("image,text\n1.png,x\n")
    (tmp_path / "good").mkdir()
    (tmp_path / "good/x.csv").write_text("image,text\n1.png,x\n")
    for source, message in [
        (HuggingFaceSource(path=str(tmp_path / "none")), "got FileNotFoundError: Couldn't find any data file at"),
        (HuggingFaceSource(path=str(tmp_path / "card")), "got KeyError: 'name'"),
        (HuggingFaceSource(path=str(tmp_path / "bad")), "got DatasetGenerationError: Error tokenizing data"),
        (HuggingFaceSource(path=str(tmp_path / "good"), split="val"), 'got ValueError: Unknown split "val"'),
        (HuggingFaceSource(path=str(tmp_path / "good"), name="big"), "got ValueError: BuilderConfig 'big' not found"),
    ]:
        with pytest.raises(SourceError, match=f"must be a data set that `datasets` can load, {message}") as raised:
            rows(source)
        assert "\n" not in str(raised.value)
        assert str(raised.value).endswith("fix source.path, name, split or revision, or download it first")
    assert capfd.readouterr() == ("", "")


def test_a_data_set_of_the_hub_without_network_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        SourceError, match="source nobody/nothing must be a data set that `datasets` can load, got "
    ) as raised:
        rows(HuggingFaceSource(path="nobody/nothing"))
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")
