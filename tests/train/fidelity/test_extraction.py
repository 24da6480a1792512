"""What extraction refuses; what it makes is tested with the whole evaluation."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pipeline.executor import InlineExecutor
from pipeline.storage import Directory
from stages.errors import ConfigError
from stages.image import decode_stored
from stages.records import Condition
from stages.weights import WeightsStore
from train.conditions import ConditionsConfig
from train.data import TrainingSet
from train.fidelity.extraction import Extraction, extracted
from train.fidelity.measures import fidelity_of
from train.fidelity.pictures import Variant, first_samples, picture_file


def extraction(data: Path, condition: Condition, out: Path) -> Extraction:
    opened = TrainingSet(Directory(str(data)), condition, use_latents=False)
    chosen, store = fidelity_of(opened, ConditionsConfig()), WeightsStore(allow_network=False)
    return Extraction(opened, chosen, out, "cpu", InlineExecutor, store, lambda sentence: None)


def test_other_weights_than_those_of_the_data_set_are_refused(color_data: Path, tmp_path: Path) -> None:
    shutil.copytree(color_data, tmp_path / "data")
    (tmp_path / "mine.pth").write_bytes(b"mine")
    path = tmp_path / "data" / "dataset.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["annotators"] = [{"kind": "sketch", "weights": str(tmp_path / "mine.pth")}]
    model = {"name": "pidinet", "file": "table5_pidinet.pth", "sha256": "a" * 64, "license": ""}
    manifest["conditions"] = [
        {
            "name": "sketch",
            "annotator": "sketch",
            "algorithm_version": 1,
            "extensions": ["sketch.png"],
            "models": [model],
        }
    ]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ConfigError) as refused:
        extraction(tmp_path / "data", Condition.SKETCH, tmp_path / "out").check()
    assert str(refused.value) == (
        f"--data {tmp_path / 'data'} must be extracted again by the pidinet that made it, aaaaaaaaaaaa, got "
        f"{hashlib.sha256(b'mine').hexdigest()[:12]}; give its weights"
    )


def test_samples_are_found_in_their_order_and_a_missing_one_is_named(color_data: Path, tmp_path: Path) -> None:
    made_by = extraction(color_data, Condition.COLOR, tmp_path)
    held_out = first_samples(made_by.data, 7)
    assert len(held_out) == 7
    for number in range(6):
        key, members = held_out[number]
        file = picture_file(tmp_path, Variant.WITH, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(members["png"])
        file.with_suffix(".txt").write_bytes(members["txt"])
    made = made_by.make(Variant.WITH)
    for number, place in enumerate(extracted(made, first_samples(made_by.data, 6))):
        found = decode_stored(made.read(*place)[1]["png"])
        assert (found == decode_stored(held_out[number][1]["png"])).all()
    with pytest.raises(ConfigError) as refused:
        extracted(made, held_out)
    assert str(refused.value) == (
        f"{tmp_path / 'with'} must have all 7 pictures, got none of 000000006; see its rejected.jsonl"
    )
