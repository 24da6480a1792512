"""`annotators = []`: images and captions alone, for whoever only downloads; conditions can be added later."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.dataset.storage import Directory
from pipeline.inspect.dataset import inspect_data_set
from pipeline.inspect.sheet import choose_samples, write_sheet
from pipeline.layer import prepare_layer
from pipeline.publish.card_snippets import snippets
from pipeline.verify.dataset import verify
from stages.errors import ConfigError
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run

STORE = WeightsStore(allow_network=False)


@pytest.fixture(scope="module")
def pictures(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures") / "data"
    manifest = run_inline(make_config(annotators=[]), out)
    assert (manifest.totals.samples, manifest.conditions, manifest.numerics.dtypes) == (12, (), {})
    return out


def test_it_is_sound_and_its_samples_are_image_texts_and_nothing_else(pictures: Path) -> None:
    assert verify(Directory(str(pictures)), True, STORE, "cpu").problems == ()
    contents = inspect_data_set(Directory(str(pictures)), 0).contents
    assert contents is not None
    assert (set(contents.member_bytes), contents.conditions) == ({"jpg", "json", "txt"}, {})


def test_the_card_speaks_of_no_condition_and_its_program_runs(
    pictures: Path, make_config: Make, run_inline: Run
) -> None:
    card = (pictures / "README.md").read_text()
    assert "pixels with its captions.\n" in card
    assert "## Conditions" not in card
    assert "annotators = []\n" in card
    programs = snippets(run_inline(make_config(annotators=[]), pictures), {})
    assert "torch" not in programs
    subprocess.run([sys.executable, "-c", programs["condset"]], cwd=pictures, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", programs["webdataset"]], cwd=pictures, check=True, capture_output=True)


def test_the_sheet_shows_the_images(pictures: Path, tmp_path: Path) -> None:
    assert choose_samples(Directory(str(pictures)), 2)[0] == ["image"]
    write_sheet(Directory(str(pictures)), tmp_path / "sheet.png", 2)


def test_a_condition_is_added_later(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    run_inline(make_config(annotators=[]), tmp_path / "data")
    base = Directory(str(tmp_path / "data"))
    layer, summary = prepare_layer(make_config(), base, offline())
    assert (str(layer), summary.manifest.totals.samples) == (f"{base}/layers/color", 12)
    assert verify(base, True, STORE, "cpu").problems == ()
    with pytest.raises(ConfigError, match=r"annotators must name a condition to add to .*, got none; give an \[\["):
        prepare_layer(make_config(annotators=[]), base, offline())


def test_it_is_a_source_for_a_data_set_with_conditions(
    pictures: Path, make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    source = {"kind": "webdataset", "root": str(pictures / "shards"), "image_extensions": ["jpg"]}
    assert run_inline(make_config(source=source), tmp_path / "again").totals.samples == 12
    assert json.loads((tmp_path / "again/dataset.json").read_text())["conditions"][0]["name"] == "color"
