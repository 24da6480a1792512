import re
from pathlib import Path

import pytest

from stages.collections.catalogue import COLLECTIONS
from stages.collections.mirror import from_mirror, read_sums, with_sums
from stages.errors import ConfigError

(VAL,) = (archive for archive in COLLECTIONS["coco17"].archives if archive.name == "val2017.zip")
SUM = "ab" * 32


@pytest.mark.parametrize("base", ["https://mirror.example/coco", "https://mirror.example/coco/"])
def test_a_mirror_has_the_published_archive_by_its_name(base: str) -> None:
    mirrored = from_mirror(VAL, base)
    assert mirrored.url == "https://mirror.example/coco/val2017.zip"
    assert (mirrored.sha256, mirrored.size_bytes, mirrored.is_exact) == (VAL.sha256, VAL.size_bytes, True)


def test_a_mirror_that_is_no_web_address_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"--mirror must be an http or https URL below which the archives lie, got '/disk/coco'; arch"
    ):
        from_mirror(VAL, "/disk/coco")


def test_an_archive_with_a_sum_of_its_own_is_held_to_nothing_else() -> None:
    own = with_sums(VAL, {"val2017.zip": SUM})
    assert (own.sha256, own.is_exact, [folder.files for folder in own.folders]) == (SUM, False, [None])
    assert with_sums(VAL, {"train2017.zip": SUM}) == VAL


def test_sums_are_read_as_sha256sum_writes_them(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{SUM}  val2017.zip\n{SUM} *zips/train2017.zip\n\n")
    assert read_sums(tmp_path / "SHA256SUMS") == {"val2017.zip": SUM, "train2017.zip": SUM}


@pytest.mark.parametrize("line", ["d41d8cd98f00b204e9800998ecf8427e  val2017.zip", SUM, f"{SUM}  zips/"])
def test_a_line_of_another_kind_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "sums").write_text(line)
    with pytest.raises(ConfigError, match=re.escape(f"/sums lines must be `<sha256>  <file>`, got {line!r}; write it")):
        read_sums(tmp_path / "sums")


def test_a_missing_file_of_sums_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--sums must be a file that sha256sum wrote, got .*No such file .*/sums'; "):
        read_sums(tmp_path / "sums")
