from pathlib import Path

from stages.sources.coco.stuff import read_labels
from stages.sources.coco.stuff_labels import LABELS, LABELS_TEXT


def test_the_names_are_those_of_the_official_file(shared: Path) -> None:
    assert (shared / "data/coco17/stuffthingmaps/labels.txt").read_text() == LABELS_TEXT


def test_the_source_reads_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(LABELS_TEXT)
    assert read_labels(tmp_path / "labels.txt") == dict(enumerate(LABELS))
