import hashlib
import os
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import SourceError
from stages.fetch import fetch
from stages.records import IndexRow, Reason, Rejection
from stages.sources.folder.source import FolderSource
from stages.sources.index.dropped import from_metadata
from stages.sources.index.schema import from_table

Files: TypeAlias = dict[str, str | bytes]


def rows(source: FolderSource) -> list[IndexRow]:
    return from_table(pa.Table.from_batches(source.batches()))


def write(root: Path, files: Files) -> FolderSource:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FolderSource(root=str(root))


def captions(source: FolderSource) -> dict[str, tuple[str, ...]]:
    return {row.image_uri.removeprefix("./"): row.captions for row in rows(source)}


def reasons(source: FolderSource) -> dict[str, tuple[str, str]]:
    return {row.image_uri: (row.rejection.reason, row.rejection.detail) for row in rows(source) if row.rejection}


def test_images_of_every_suffix_at_every_depth_are_listed_in_order(tmp_path: Path) -> None:
    names = ["A.JPG", "a/b.jpeg", "a/b/c.PnG", "a/d.webp", "a/e.jfif", "b.bmp", "c.tif", "d.avif", "y.jpe", "z.gif"]
    source = write(tmp_path, dict.fromkeys([*reversed(names), "notes.md"], b""))
    assert [row.image_uri for row in rows(source)] == names


def test_what_is_no_candidate_is_counted_by_its_suffix(tmp_path: Path) -> None:
    files: Files = dict.fromkeys(["1.jpg", "1.txt", "2.heic", "2.txt", "a/3.heic", "README", "x.mp4", ".h.mp4"], b"x")
    files["metadata.csv"] = "file_name,text\n1.jpg,x\n"
    (batch,) = write(tmp_path, files).batches()
    assert from_metadata(batch.schema.metadata) == {
        ".heic files": 2,
        ".mp4 files": 1,
        ".txt files": 1,
        "other files": 1,
    }
    (tmp_path / "none").mkdir()
    assert list(FolderSource(root=str(tmp_path / "none")).batches()) == []


def test_a_folder_of_other_files_says_which(tmp_path: Path) -> None:
    (batch,) = write(tmp_path, {"1.heic": b"", "2.heic": b""}).batches()
    assert batch.num_rows == 0
    assert from_metadata(batch.schema.metadata) == {".heic files": 2}


def test_the_key_is_the_hash_of_the_relative_path(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path, {"å/1.jpg": b"", "å/1.txt": "x"}))
    assert row.key == hashlib.sha256("å/1.jpg".encode()).hexdigest()[:20]
    assert row.rejection is None


def test_each_sidecar_is_one_caption_whatever_its_case(tmp_path: Path) -> None:
    files: Files = {
        "1.jpg": b"",
        "1.txt": "a cat\n on  a mat\n",
        "1.caption": "\ufeffcat, mat",
        "2.PNG": b"",
        "2.TXT": "b",
    }
    assert captions(write(tmp_path, files)) == {"1.jpg": ("a cat on a mat", "cat, mat"), "2.PNG": ("b",)}


def test_a_name_with_glob_and_url_characters_is_a_name(tmp_path: Path) -> None:
    names = ["1 [a].jpg", "1 a.jpg", "a#b::c.jpg", "a%20b?x=1.jpg", "{x}.jpg"]
    files: Files = {name: name.encode() for name in names}
    files |= {f"{name[:-4]}.txt": name for name in names}
    source = write(tmp_path, files)
    assert captions(source) == {name: (name,) for name in names}
    assert all(fetch("k", source.base_uri, name) == name.encode() for name in names)


def test_a_name_like_a_scheme_is_a_name(tmp_path: Path) -> None:
    source = write(tmp_path, {"scene:0/1/70x70.jpg": b"not drawn", "scene:0/1/70x70.txt": "x"})
    (row,) = rows(source)
    assert row.image_uri == "./scene:0/1/70x70.jpg"
    assert fetch(row.key, source.base_uri, row.image_uri) == b"not drawn"


def test_an_image_without_readable_caption_is_rejected(tmp_path: Path) -> None:
    files: Files = {
        "1.jpg": b"",
        "2.jpg": b"",
        "2.txt": b"\xff\xfe",
        "3.jpg": b"",
        "3.txt": " \n",
        "4.jpg": b"",
        "4.txt": "x",
    }
    files["5.jpg"], files["5.txt"] = b"", "x" * (1 << 20 | 1)
    found = reasons(write(tmp_path, files))
    assert found.keys() == {"1.jpg", "2.jpg", "3.jpg", "5.jpg"}
    assert found["1.jpg"] == (Reason.NO_CAPTION, "'1.jpg' has no caption in a UTF-8 sidecar or a metadata file")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.jsonl", '{"file_name": "a/1.jpg", "text": "one"}\n\n{"file_name": "2.png", "text": ["two", "2"]}'),
        ("metadata.jsonl", '{"file_name": "./a//1.jpg", "caption": "one"}\r\n{"file_name": "2.png", "caption": "two"}\n'
                           '{"file_name": "2.png", "caption": "2"}\n'),
        ("metadata.csv", 'file_name,text\na/1.jpg,one\n2.png,"two"\n2.png,"2"\n'),
        ("metadata.csv", '\ufeffcaption,file_name\r\none,a\\1.jpg\r\n"two\r\n",2.png\r\n2,2.png\r\n'),
        ("metadata.jsonl", '\ufeff{"file_name": "a\\\\1.jpg", "text": "one"}\n'
                           '{"file_name": "2.png", "text": ["two", "2"]}'),
    ],
    ids=["text", "caption", "csv", "csv of windows", "json of windows"],
)  # fmt: skip
def test_captions_come_from_a_metadata_file(tmp_path: Path, name: str, content: str) -> None:
    source = write(tmp_path, {"a/1.jpg": b"", "2.png": b"", "2.txt": "not asked", name: content})
    assert captions(source) == {"a/1.jpg": ("one",), "2.png": ("two", "2")}


def test_a_metadata_file_speaks_of_its_own_directory_and_a_sidecar_of_the_rest(tmp_path: Path) -> None:
    files: Files = {
        "a/metadata.jsonl": '{"file_name": "1.jpg", "text": "in a"}',
        "a/1.jpg": b"",
        "1.jpg": b"",
        "1.txt": "top",
    }
    assert captions(write(tmp_path, files)) == {"1.jpg": ("top",), "a/1.jpg": ("in a",)}


def test_captions_come_from_a_metadata_file_in_parquet(tmp_path: Path) -> None:
    columns = {"file_name": ["a/1.jpg", "2.png"], "caption": [["one"], ["two", "2"]], "score": [1, 2]}
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    assert captions(write(tmp_path, {"a/1.jpg": b"", "2.png": b""})) == {"a/1.jpg": ("one",), "2.png": ("two", "2")}


def test_a_backslash_is_part_of_a_name_where_there_is_such_a_file(tmp_path: Path) -> None:
    source = write(tmp_path, {"a\\1.jpg": b"", "metadata.jsonl": '{"file_name": "a\\\\1.jpg", "text": "x"}'})
    assert captions(source) == {"a\\1.jpg": ("x",)}


def test_the_caption_column_can_be_named(tmp_path: Path) -> None:
    source = write(tmp_path, {"metadata.csv": "file_name,text,blip\n1.jpg,a,b\n", "1.jpg": b""})
    assert captions(source.model_copy(update={"caption_column": "blip"})) == {"1.jpg": ("b",)}
    with pytest.raises(
        SourceError,
        match=r"metadata\.csv line 2 must have a column git, got 'file_name', 'text', 'blip'; set source\.caption_col",
    ):
        rows(source.model_copy(update={"caption_column": "git"}))


def test_a_listed_image_that_is_not_there_is_counted_when_it_is_fetched(tmp_path: Path) -> None:
    source = write(tmp_path, {"metadata.jsonl": '{"file_name": "gone.jpg", "text": "x"}'})
    (row,) = rows(source)
    assert row.rejection is None
    lost = fetch(row.key, source.base_uri, row.image_uri)
    assert isinstance(lost, Rejection)
    assert lost.reason is Reason.MISSING_FILE


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "/etc/secret.jpg",
        "a/../../secret.jpg",
        "\\u0000.jpg",
        "\\ud800.jpg",
        "..",
        r"..\\secret.jpg",
        r"a\\..\\..\\secret.jpg",
        r"\\\\server\\secret.jpg",
        r"C:\\secret.jpg",
        "C:/secret.jpg",
    ],
)
def test_a_listed_name_that_climbs_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"")
    (row,) = rows(write(tmp_path / "root", {"metadata.jsonl": f'{{"file_name": "{name}", "text": "x"}}'}))
    assert row.rejection is not None
    assert row.rejection.reason is Reason.BAD_NAME
    assert "must be a plain relative path in UTF-8; rename the image or fix its line" in row.rejection.detail
    assert row.image_uri == ""


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, {os.fsdecode(b"\xff.jpg"): b"", os.fsdecode(b"\xff.txt"): "x"})
    assert reasons(source)[""][0] is Reason.BAD_NAME


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.jsonl", "{broken", "line 1 must be JSON, got Expecting property name"),
        ("metadata.jsonl", "\n[1]", r"line 2 must be a JSON object, got \[1\]"),
        ("metadata.jsonl", '{"text": "x"}', r"line 1 must have a file_name, got \{'text': 'x'\}"),
        ("metadata.jsonl", '{"file_name": 5, "text": "x"}', "line 1 must have a file_name"),
        ("metadata.jsonl", '{"file_name": "x"}', "line 1 must have a column text or caption, got 'file_name'"),
        ("metadata.csv", "image,text\n1.jpg,x\n", "line 2 must have a file_name"),
        (
            "metadata.csv",
            "file_name,text\n" + "x" * 200_000,
            "after line 1 must be CSV, got field larger than field limit",
        ),
        (
            "metadata.csv",
            "file_name,text\n1.jpg,a cat, on a mat\n",
            "line 2 must have 2 fields as its header has, got 3",
        ),
        (
            "metadata.csv",
            'file_name,text\n1.jpg,"x\ny"\n\n2.jpg\n',
            "line 5 must have 2 fields as its header has, got 1",
        ),
        ("metadata.csv", 'file_name,text\n1.jpg,"a cat\n2.jpg,x\n', "after line 1 must be CSV, got unexpected end of"),
        ("metadata.csv", 'file_name,text\n1.jpg,"a" cat\n', "after line 1 must be CSV, got ',' expected after"),
        ("metadata.csv", "file_name,text,text\n1.jpg,x,y\n", "line 1 must name each column once, got "),
        (
            "metadata.jsonl",
            '{"x": "' + "x" * (2 << 20),
            "line 1 must have at most 1048576 characters, got more; fix it",
        ),
        ("metadata.parquet", b"PAR1 not", "must be a readable parquet file, got "),
        ("metadata.csv", b"\xff\xfe", "must be UTF-8, got 'utf-8' codec"),
    ],
)
def test_a_malformed_metadata_file_is_one_clear_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=rf"{name} {message}"):
        rows(write(tmp_path, {name: content}))


def test_hidden_files_and_directories_are_skipped(tmp_path: Path) -> None:
    hidden = [".a.jpg", ".git/b.jpg", "c/._d.jpg", "_temporary/0/f.jpg", "__MACOSX/g.jpg", ".ipynb_checkpoints/h.jpg"]
    assert captions(write(tmp_path, dict.fromkeys([*hidden, "e.jpg"], b""))) == {"e.jpg": ()}


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    source = write(tmp_path / "root", {"a/1.jpg": b"", "a/1.txt": "x"})
    write(tmp_path / "elsewhere", {"2.jpg": b"", "2.txt": "y"})
    (tmp_path / "root/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/a/up").symlink_to("..")
    (tmp_path / "root/a/self.jpg").symlink_to("self.jpg")
    (tmp_path / "root/gone.jpg").symlink_to("nowhere.jpg")
    assert captions(source) == {"a/1.jpg": ("x",), "b/2.jpg": ("y",), "gone.jpg": ()}


def test_a_root_that_is_no_directory_is_an_error(tmp_path: Path) -> None:
    for root in (str(tmp_path / "none"), f"memory://{tmp_path}/none"):
        with pytest.raises(SourceError, match=r"none must be a directory of images, got none; fix source\.root"):
            rows(FolderSource(root=root))


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_folder_behind_a_url_gives_the_same_rows(tmp_path: Path, scheme: str) -> None:
    import fsspec

    files: Files = {"a/1 [x].jpg": b"one", "a/1 [x].txt": "x", "2.png": b"two", ".h/3.png": b"", "4.png": b"",
             "metadata.jsonl": '{"file_name": "2.png", "text": "y"}'}  # fmt: skip
    here = write(tmp_path, files)
    there = FolderSource(root=f"{scheme}://{tmp_path}/")
    if scheme == "memory":
        fsspec.filesystem("memory").put(f"{tmp_path}/", f"{tmp_path}/", recursive=True)
    assert str(rows(there)) == str(rows(here))
    assert fetch("k", there.base_uri, "a/1 [x].jpg") == b"one"
