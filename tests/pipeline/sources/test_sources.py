"""Every way of keeping image-text pairs, from end to end: the same photographs come out as the same samples."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from pipeline.dataset.ledger import records
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import verify
from stages.sources.synthetic.source import render
from stages.weights.store import WeightsStore
from tests.pipeline.conftest import Make, Run, tree

COUNT = 7
HASH = 2**53 + 1  # a float would be another number
CAPTIONS = [f"scene number {number}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [render(f"scene:0/{number}/96x80") for number in range(COUNT)]


def keep_in_folder(root: Path, pictures: list[bytes]) -> dict[str, object]:
    for number, picture in enumerate(pictures):
        (root / f"{number}.png").write_bytes(picture)
        (root / f"{number}.txt").write_text(CAPTIONS[number])
    return {"kind": "folder", "root": str(root)}


def keep_in_tars(root: Path, pictures: list[bytes]) -> dict[str, object]:
    for name, numbers in [("a.tar", range(4)), ("b.tar", range(4, COUNT))]:
        files = [(f"{number}.png", pictures[number]) for number in numbers]
        files += [
            (f"{number}.json", json.dumps({"caption": CAPTIONS[number], "p": number, "hash": HASH + number}).encode())
            for number in numbers
        ]
        with tarfile.open(root / name, "w") as tar:
            for each, content in files:
                info = tarfile.TarInfo(each)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return {"kind": "webdataset", "root": str(root), "tars": "{a,b}.tar"}


def keep_as_rows(root: Path, pictures: list[bytes]) -> dict[str, object]:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"image": pictures, "text": CAPTIONS}).save_to_disk(root / "rows")
    return {"kind": "huggingface", "path": str(root / "rows")}


@pytest.fixture(params=[keep_in_folder, keep_in_tars, keep_as_rows])
def kept(request: pytest.FixtureRequest, tmp_path: Path, pictures: list[bytes]) -> Mapping[str, object]:
    """The pictures, kept in one of the ways; returns the table of the source that reads them."""
    (tmp_path / "kept").mkdir()
    source: Mapping[str, object] = request.param(tmp_path / "kept", pictures)
    return source


def samples(out: Path) -> dict[str, tuple[bytes, bytes]]:
    """Caption to the stored image and its color map."""
    home = Directory(str(out))
    found = [read_sample(home, record, entry) for record in records(home) for entry in record.samples]
    return {each["txt"].decode(): (each["jpg"], each["color.png"]) for each in found}


def test_kept_in_any_way_the_pictures_give_the_same_samples(
    make_config: Make, run_inline: Run, tmp_path: Path, kept: Mapping[str, object]
) -> None:
    run_inline(make_config(source=kept), tmp_path / "data")
    scenes = {"kind": "synthetic", "count": COUNT, "width_pixels": 96, "height_pixels": 80}
    run_inline(make_config(source=scenes), tmp_path / "scenes")
    found = samples(tmp_path / "data")
    assert [found[caption] for caption in CAPTIONS] == list(samples(tmp_path / "scenes").values())
    assert verify(Directory(str(tmp_path / "data")), True, WeightsStore(allow_network=False), "cpu").problems == ()


def test_two_runs_and_a_resumed_one_give_the_same_bytes(
    make_config: Make, run_inline: Run, tmp_path: Path, kept: Mapping[str, object]
) -> None:
    config = make_config(source=kept)
    run_inline(config, tmp_path / "data")
    before = tree(tmp_path / "data")
    (tmp_path / "data/records/0000001.json").unlink()
    run_inline(config, tmp_path / "data")
    assert tree(tmp_path / "data") == before
    run_inline(config, tmp_path / "again")
    assert tree(tmp_path / "again") == before


def test_hashes_in_tars_keep_every_digit_for_the_readers_of_the_data_set(
    make_config: Make, run_inline: Run, tmp_path: Path, pictures: list[bytes]
) -> None:
    import datasets

    datasets.disable_progress_bars()
    (tmp_path / "kept").mkdir()
    run_inline(make_config(source=keep_in_tars(tmp_path / "kept", pictures)), tmp_path / "data")
    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"), split="train")
    assert sorted(sample["json"]["hash"] for sample in loaded) == [HASH + number for number in range(COUNT)]


def test_every_rejection_of_a_listing_is_in_the_records(
    make_config: Make, run_inline: Run, tmp_path: Path, pictures: list[bytes]
) -> None:
    source = keep_in_tars(tmp_path, pictures)
    content = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(content[: content.rindex(b'"caption"')])
    manifest = run_inline(make_config(source=source), tmp_path / "data")
    assert manifest.totals.samples == COUNT - 1
    assert manifest.totals.rejected_by_reason == {"truncated": 2}
    assert verify(Directory(str(tmp_path / "data")), False, WeightsStore(allow_network=False), "cpu").problems == ()


def test_the_samples_of_a_data_set_can_be_a_source(
    make_config: Make, run_inline: Run, data_set: Path, tmp_path: Path
) -> None:
    source = {"kind": "webdataset", "root": str(data_set / "shards"), "image_extensions": ["jpg"]}
    run_inline(make_config(source=source), tmp_path / "again")
    assert samples(tmp_path / "again").keys() == samples(data_set).keys()
    image = next(iter(samples(tmp_path / "again").values()))[0]
    assert Image.open(io.BytesIO(image)).size == (64, 64)
