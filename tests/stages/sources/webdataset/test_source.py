import json
import math
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from stages.fetch import fetch
from stages.records import Reason
from stages.sources.webdataset.source import WebDatasetSource
from tests.stages.sources.webdataset.img2dataset_tars import only, rows, sample, shuffled, write_one, write_tar


def three_tars(root: Path) -> WebDatasetSource:
    """Thirty samples in three tars: one in order with a duplicate key, one shuffled, one shuffled and cut."""
    first, second, third = (
        [file for number in range(start, start + 10) for file in sample(number)] for start in (0, 10, 20)
    )
    duplicate = [(name, content + b" ") for name, content in sample(3)]
    write_tar(root / "00000.tar", first + duplicate)
    write_tar(root / "00001.tar", shuffled(second, 1))
    write_tar(root / "00002.tar", shuffled(third, 2))
    content = (root / "00002.tar").read_bytes()
    (root / "00002.tar").write_bytes(content[: len(content) * 2 // 3])
    return WebDatasetSource(root=str(root), tars="{00000..00002}.tar")


def oracle(path: Path) -> dict[str, tuple[bytes, str, str]]:
    """Stem to image, caption and URL, by reading every member whole with tarfile."""
    files: list[tuple[str, bytes]] = []
    with path.open("rb") as file, tarfile.open(fileobj=file) as tar:
        try:
            for info in tar:
                opened = tar.extractfile(info)
                assert opened is not None
                files.append((info.name, opened.read()))
        except tarfile.ReadError:
            files = [(name, content) for name, content in files if name != info.name]
    once = {name: content for name, content in files if Counter(name for name, _ in files)[name] == 1}
    samples = {}
    for name in once:
        stem, extension = name.split(".")
        if extension == "jpg" and f"{stem}.txt" in once:
            description = json.loads(once.get(f"{stem}.json", b'{"url": ""}'))
            samples[stem] = (once[name], once[f"{stem}.txt"].decode(), description["url"])
    return samples


def test_shuffled_cut_and_duplicate_members_give_the_samples_that_extracting_everything_gives(tmp_path: Path) -> None:
    source = three_tars(tmp_path)
    found = {}
    for row in rows(source):
        if row.rejection is None:
            content = fetch(row.key, source.base_uri, row.image_uri)
            found[content] = (row.captions[0], row.source_url)
    expected = {
        image: (caption, url)
        for number in range(3)
        for image, caption, url in oracle(tmp_path / f"0000{number}.tar").values()
    }
    assert found == expected
    assert len(found) > 20


def test_nothing_of_the_three_tars_is_lost_without_a_rejection(tmp_path: Path) -> None:
    listed = rows(three_tars(tmp_path))
    reasons = Counter(row.rejection.reason if row.rejection else "" for row in listed)
    assert reasons[Reason.DUPLICATE_KEY] == 2
    assert reasons[Reason.TRUNCATED] >= 2
    assert reasons.keys() == {"", Reason.DUPLICATE_KEY, Reason.TRUNCATED}
    assert {row.captions[0] for row in listed if row.captions} >= {f"photograph {number}" for number in range(20)}


def test_the_order_in_a_tar_changes_only_where_an_image_lies(tmp_path: Path) -> None:
    files = [file for number in range(9) for file in sample(number)]
    listings = []
    for name, order in [("a", files), ("b", shuffled(list(files), 5))]:
        (tmp_path / name).mkdir()
        source = write_one(tmp_path / name, order)
        listings.append(
            [
                (row.key, row.captions, row.source_url, str(row.scores), fetch(row.key, source.root, row.image_uri))
                for row in rows(source)
            ]
        )
    assert listings[0] == listings[1]


def test_a_row_tells_what_img2dataset_wrote(tmp_path: Path) -> None:
    first, row = rows(write_one(tmp_path, sample(0) + sample(1, LICENSE="CC0")))
    assert first.license == ""  # LAION writes "?"
    assert row.captions == ("photograph 1",)
    assert (row.source_url, row.license) == ("http://host/1.jpg", "CC0")
    assert (row.width, row.height) == (70, 70)
    assert row.scores == {"punsafe": 0.5, "similarity": 0.301}
    assert row.image_uri.startswith("member:0.tar?offset=")


def test_hashes_licences_and_copyright_keep_their_type_and_every_digit(tmp_path: Path) -> None:
    large = 2**53 + 1  # the first whole number that a float cannot hold
    columns = {"hash": -large, "sha256": "ab" * 32, "COPYRIGHT": "© 雪", "LICENSE": 4, "URL": "http://host/a b.jpg"}
    more = {"hash": None, "sha256": None, "COPYRIGHT": 1999, "url": None}
    first, second = rows(write_one(tmp_path, sample(0, **columns, url=None) + sample(1, **more)))
    assert first.facts == {"copyright": "© 雪", "hash": -large, "sha256": "ab" * 32}
    assert second.facts == {"copyright": "1999", "hash": 0, "sha256": ""}
    assert (first.license, first.source_url, second.source_url) == ("4", "http://host/a b.jpg", "")
    assert first.scores.keys() == {"punsafe", "similarity"}


def test_a_hash_beyond_64_bits_makes_texts_of_all(tmp_path: Path) -> None:
    listed = rows(write_one(tmp_path, sample(0, hash=2**64 - 1) + sample(1, hash=7)))
    assert [row.facts for row in listed] == [{"hash": str(2**64 - 1)}, {"hash": "7"}]


def test_every_row_has_the_facts_of_the_first_tar_with_their_types(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", sample(0, hash=5))
    write_tar(tmp_path / "1.tar", sample(1, hash="five", md5="ff") + sample(2, hash=2.5))
    facts = [row.facts for row in rows(WebDatasetSource(root=str(tmp_path)))]
    assert facts == [{"hash": 5}, {"hash": 0}, {"hash": 0}]


def test_every_row_has_the_same_scores_and_nan_where_there_is_none(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", sample(0) + sample(1))
    odd = {"punsafe": "high", "similarity": 10**400, "another": 1.5, "true": True}
    write_tar(tmp_path / "1.tar", [*sample(2, **odd), ("plain.jpg", b"x"), ("plain.txt", b"y")])
    listed = rows(WebDatasetSource(root=str(tmp_path)))
    assert {tuple(row.scores) for row in listed} == {("punsafe", "similarity")}
    assert [math.isnan(row.scores["punsafe"]) for row in listed] == [True, False, True, True]
    assert math.isnan(listed[2].scores["similarity"])


@pytest.mark.parametrize(
    ("files", "captions"),
    [
        ({"json": b'{"caption": "in json"}'}, ("in json",)),
        ({"json": b'{"caption": ["one", " two\\n", 3, ""]}'}, ("one", "two")),
        ({"json": b'{"caption": "in json"}', "txt": b" in   txt\n"}, ("in txt",)),
        ({"json": b'{"caption": "in json"}', "txt": b" \n"}, ("in json",)),
        ({"json": b"[broken", "txt": b"in txt"}, ("in txt",)),
        ({"json": b"[" * 100_000, "txt": b"in txt"}, ("in txt",)),
        ({"TXT": "\ufeffblå 雪".encode()}, ("blå 雪",)),
    ],
)
def test_the_caption_is_the_txts_or_the_jsons(
    tmp_path: Path, files: Mapping[str, bytes], captions: tuple[str, ...]
) -> None:
    members = [("a.jpg", b"x"), *((f"a.{extension}", content) for extension, content in files.items())]
    row = only(rows(write_one(tmp_path, members)))
    assert row.captions == captions
    assert row.rejection is None


def test_keys_differ_between_tars_that_both_begin_at_zero(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", sample(0))
    write_tar(tmp_path / "1.tar", sample(0))
    assert len({row.key for row in rows(WebDatasetSource(root=str(tmp_path)))}) == 2


def test_tars_come_in_the_order_of_the_patterns_and_none_twice(tmp_path: Path) -> None:
    root = tmp_path / "[odd] {root}"
    (root / "sub").mkdir(parents=True)
    for number, name in enumerate(["b.tar", "a.tar", "sub/c.tar"]):
        write_tar(root / name, sample(number))
    source = WebDatasetSource(root=str(root), tars=("{b,a}.tar", "*.tar", "**/*.tar"))
    assert [row.captions[0] for row in rows(source)] == ["photograph 0", "photograph 1", "photograph 2"]


@pytest.mark.parametrize("scheme", ["memory://", "file://"])
def test_tars_behind_a_url_are_listed_and_read_like_local_ones(tmp_path: Path, scheme: str) -> None:
    import fsspec

    here = write_one(tmp_path, sample(0) + sample(1))
    root = f"{scheme}{tmp_path}"
    with fsspec.open(f"{root}/0.tar", "wb") as file:
        file.write((tmp_path / "0.tar").read_bytes() if scheme == "memory://" else b"")
    if scheme == "file://":
        write_tar(tmp_path / "0.tar", sample(0) + sample(1))
    there = WebDatasetSource(root=root)
    assert [str(row) for row in rows(there)] == [str(row) for row in rows(here)]
    for row in rows(there):
        assert fetch(row.key, there.base_uri, row.image_uri) == fetch(row.key, here.base_uri, row.image_uri)


def test_the_same_tars_give_the_same_rows(tmp_path: Path) -> None:
    source = three_tars(tmp_path)
    assert str(rows(source)) == str(rows(source))
