"""What extraction refuses; what it makes is tested with the whole evaluation."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pipeline.config import ExecutionConfig
from pipeline.dataset.conditions import describe_condition
from pipeline.dataset.ledger import make_folders
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import plan_shards
from pipeline.dataset.shards import commit_shard
from stages.annotators.sketch.annotator import SketchConfig
from stages.errors import ConfigError
from stages.image.decode import decode_stored
from stages.records import Condition, EncodedSample
from stages.settings import plain
from stages.weights.store import WeightsFile, WeightsStore
from tests.offline import offline
from train.base.config import TinyDiffusionConfig
from train.data.conditions import ConditionsConfig
from train.fidelity.drawing import Drawing
from train.fidelity.extraction import Extraction, extracted, members_of
from train.fidelity.held_out import HeldOutConfig
from train.fidelity.measures.measures import MeasuredData, fidelity_of
from train.fidelity.pictures import PICTURES_PER_SHARD, Pictures
from train.fidelity.variants import variants_of
from train.sampling.settings import SamplerSettings

SAMPLES = 10


def extraction(data: Path, conditions: tuple[Condition, ...], out: Path) -> Extraction:
    """Of the first ten samples' pictures, which are not drawn."""
    config = HeldOutConfig(str(data), conditions, SAMPLES)
    drawing = Drawing(
        held_out=config,
        adapters=(),
        diffusion=TinyDiffusionConfig(),
        base="",
        variants=variants_of(conditions, [1.0] * len(conditions)),
        sampler=SamplerSettings(1, 1.0),
        dtype="float32",
    )
    held_out = config.open()
    fidelities = [
        fidelity_of(MeasuredData.of(each), ConditionsConfig(), WeightsStore(), "cpu") for each in held_out.sets
    ]
    pictures, execution = Pictures(out, drawing, "planted"), ExecutionConfig(device="cpu", threads_per_worker=1)
    return Extraction(held_out, fidelities, pictures, execution, offline())


def plant(made_by: Extraction, samples: int) -> None:
    """Write the stored images as what was drawn with the adapter."""
    held_out, pictures = made_by.held_out, made_by.pictures
    make_folders(pictures.home)
    for plan in plan_shards(samples, PICTURES_PER_SHARD):
        members = {held_out.keys[number]: held_out.members(number) for number in range(plan.start, plan.stop)}
        encoded = [
            EncodedSample(key, (("txt", each["txt"]), ("with.png", each["png"])), 64, 64)
            for key, each in members.items()
        ]
        commit_shard(pictures.home, plan, "planted", Numerics("cpu", {}, 1, 1, {}), encoded)


def test_other_weights_than_those_of_the_data_set_are_refused(color_data: Path, tmp_path: Path) -> None:
    shutil.copytree(color_data, tmp_path / "data")
    (tmp_path / "mine.pth").write_bytes(b"mine")
    path = tmp_path / "data" / "dataset.json"
    manifest = json.loads(path.read_text())
    config = SketchConfig(weights=str(tmp_path / "mine.pth"))
    manifest["config"]["annotators"] = [plain(config)]
    made = describe_condition(config, {"pidinet": WeightsFile(Path("table5_pidinet.pth"), "a" * 64)})
    manifest["conditions"] = [made.to_fields()]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ConfigError) as refused:
        extraction(tmp_path / "data", (Condition.SKETCH,), tmp_path / "out").check()
    assert str(refused.value) == (
        f"--data {tmp_path / 'data'} must be extracted again by the pidinet that made it, aaaaaaaaaaaa, got "
        f"{hashlib.sha256(b'mine').hexdigest()[:12]}; give its weights"
    )


def test_pictures_are_found_in_their_order_over_shards(color_data: Path, tmp_path: Path) -> None:
    made_by = extraction(color_data, (Condition.COLOR,), tmp_path)
    plant(made_by, SAMPLES)
    made = made_by.make(made_by.pictures.drawing.variants[1])
    places = extracted(made, made_by.held_out)
    assert len(places) == SAMPLES
    for number, place in enumerate(places):
        found, truth = members_of(made, place), made_by.held_out.members(number)
        assert (decode_stored(found["png"]) == decode_stored(truth["png"])).all()
        assert found["color.png"] == truth["color.png"]


def test_a_picture_that_is_missing_is_named(color_data: Path, tmp_path: Path) -> None:
    made_by = extraction(color_data, (Condition.COLOR,), tmp_path)
    plant(made_by, SAMPLES - 1)
    made = made_by.make(made_by.pictures.drawing.variants[1])
    with pytest.raises(ConfigError) as refused:
        extracted(made, made_by.held_out)
    assert str(refused.value) == (
        f"{tmp_path / 'with'} must have all 10 pictures, got none for 000000009; see its rejected.jsonl"
    )


def test_the_conditions_own_annotator_goes_before_one_that_stands_in(color_data: Path, tmp_path: Path) -> None:
    """The label maps of segmentation come from no annotator; the color of its place is the data set's own."""
    made_by = extraction(color_data, (Condition.SEGMENTATION, Condition.COLOR), tmp_path)
    real = made_by.pictures.drawing.variants[0]
    own = made_by.held_out.sets[1].settings
    (annotator,) = made_by.config(real).annotators
    assert plain(annotator) == own
    alone = extraction(color_data, (Condition.SEGMENTATION,), tmp_path)
    assert [each.kind for each in alone.config(real).annotators] == ["color"]
