"""The data set through the eyes of those who read it: webdataset and Hugging Face datasets."""

import io
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.bench.detectors import random_pidinet
from stages.records import UInt8Array
from tests.pipeline.conftest import Make, Run


@pytest.fixture(scope="module")
def data_set(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty scenes and, in between, a shard of which every sample is rejected."""
    root = tmp_path_factory.mktemp("readers")
    (root / "coco/val2017").mkdir(parents=True)
    (root / "coco/annotations").mkdir()
    rng = np.random.default_rng(0)
    images, captions, persons = [], [], []
    for number in range(30):
        Image.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8)).save(root / f"coco/val2017/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 90, "height": 80})
        if not 10 <= number < 15:
            captions.append(
                {"id": number, "image_id": number, "caption": f"Bild {number}: ein Zug überquert die Brücke 雪"}
            )
        if number % 4 == 3:
            persons.append({"id": number, "image_id": number, "keypoints": [9, 9, 2] * 17, "iscrowd": 0})
    for name, annotations in (("captions", captions), ("person_keypoints", persons)):
        content = json.dumps({"images": images, "annotations": annotations})
        (root / f"coco/annotations/{name}_val2017.json").write_text(content)
    annotators = [
        {"kind": "color"},
        {"kind": "sketch", "weights": str(random_pidinet(root / "random_pidinet.pth"))},
        {"kind": "keypose", "from": "annotations"},
    ]
    source = {"kind": "coco", "root": str(root / "coco"), "split": "val2017"}
    run_inline(make_config(source=source, annotators=annotators, samples_per_shard=5), root / "data")
    return root / "data"


@pytest.fixture(scope="module")
def stored(data_set: Path) -> dict[str, bytes]:
    """Every file of every tar, by its name: the key, a dot, the extension."""
    found = {}
    for path in sorted((data_set / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for name in tar.getnames():
                file = tar.extractfile(name)
                assert file
                found[name] = file.read()
    sketches = {content for name, content in found.items() if name.endswith(".sketch.png")}
    assert len(sketches) == 25  # so that one sample's sketch cannot pass for another's
    return found


def picture(content: bytes) -> UInt8Array:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_shard_without_samples_has_no_tar(data_set: Path) -> None:
    assert not (data_set / "shards/0000002.tar").exists()
    assert (data_set / "records/0000002.json").exists()


def test_webdataset_reads_every_sample(data_set: Path, stored: dict[str, bytes]) -> None:
    import webdataset

    tars = [str(path) for path in sorted((data_set / "shards").glob("*.tar"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    assert len(samples) == 25
    for sample in samples:
        key = sample["__key__"]
        assert "überquert" in sample["txt"]
        assert sample["txt"] in sample["json"]["captions"]
        assert sample["jpg"].shape == (64, 64, 3)
        assert np.array_equal(sample["color.png"], picture(stored[f"{key}.color.png"]))
        grey_hw = picture(stored[f"{key}.sketch.png"])
        assert np.array_equal(sample["sketch.png"], np.stack([grey_hw] * 3, -1))  # "rgb8" makes every picture RGB
        keypoints = np.load(io.BytesIO(stored[f"{key}.keypoints.npy"]))
        assert keypoints.size == (51 if int(key) % 4 == 3 else 0)
        assert sample["keypoints.npy"].dtype == np.float32
        assert np.array_equal(sample["keypoints.npy"], keypoints)


def test_datasets_loads_the_directory_and_every_sample_of_it(
    data_set: Path, stored: dict[str, bytes], tmp_path: Path
) -> None:
    import datasets

    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded: Any = datasets.load_dataset(str(data_set), cache_dir=str(tmp_path))
    assert list(loaded) == ["validation"]
    assert len(loaded["validation"]) == 25
    for sample in loaded["validation"]:
        key = sample["__key__"]
        assert "Brücke 雪" in sample["txt"]
        assert sample["jpg"].size == (64, 64)
        assert np.array_equal(np.asarray(sample["color.png"]), picture(stored[f"{key}.color.png"]))
        assert sample["sketch.png"].mode == "L"
        assert np.array_equal(np.asarray(sample["sketch.png"]), picture(stored[f"{key}.sketch.png"]))
        keypoints = np.load(io.BytesIO(stored[f"{key}.keypoints.npy"]))
        assert keypoints.size == (51 if int(key) % 4 == 3 else 0)
        assert sample["keypoints.npy"] == keypoints.tolist()


def test_every_sample_has_the_same_fields_of_the_same_types(stored: dict[str, bytes]) -> None:
    shapes = set()
    for name, content in stored.items():
        if name.endswith(".json"):
            fields = json.loads(content)
            assert fields["captions"]
            assert all(type(edge) is float for edge in fields["crop_box"])
            shapes.add(tuple((field, type(value)) for field, value in fields.items()))
    assert len(shapes) == 1


@pytest.mark.parametrize("place", ["", "shards"])
def test_datasets_streams_the_directory_and_the_folder_of_the_tars(
    place: str, data_set: Path, stored: dict[str, bytes], tmp_path: Path
) -> None:
    import datasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Of the folder alone nobody tells the name of the split: what is there is training data, says datasets.
        split = "validation" if not place else "train"
        location = str(data_set / place).rstrip("/")
        loaded: Any = datasets.load_dataset(location, split=split, streaming=True, cache_dir=str(tmp_path))
        samples = list(loaded)
    assert [sample["__key__"] for sample in samples] == sorted({name.partition(".")[0] for name in stored})
    for sample in samples:
        color = picture(stored[f"{sample['__key__']}.color.png"])
        assert np.array_equal(np.asarray(sample["color.png"]), color)
        assert sample["txt"] == stored[f"{sample['__key__']}.txt"].decode()


def test_polars_reads_the_index(data_set: Path) -> None:
    import polars

    index = polars.read_parquet(data_set / "index/*.parquet")
    assert index["key"].to_list() == [row["key"] for row in pq.read_table(data_set / "index").to_pylist()]
    assert index.filter(polars.col("rejected_reason") == "")["captions"].list.len().min() == 1


def test_duckdb_reads_the_index(data_set: Path) -> None:
    import duckdb

    with duckdb.connect() as database:
        question = "select count(*), count(distinct key), min(len(captions)) from read_parquet(?)"
        rows = database.execute(question, [str(data_set / "index/*.parquet")]).fetchall()
    table = pq.read_table(data_set / "index")
    assert rows[0][:2] == (table.num_rows, len(set(table["key"].to_pylist())))
