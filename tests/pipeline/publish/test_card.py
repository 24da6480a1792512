"""The data card: what it says follows from the data set, and the programs in it run."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.conditions import ModelUse
from pipeline.dataset.fingerprint import dataset_inputs, fingerprint
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from pipeline.publish.card import render_card, size_category
from pipeline.publish.card_snippets import snippets
from stages.annotators.keypose.annotator import KeyposeConfig
from stages.annotators.latents import LatentsConfig
from stages.annotators.sketch.annotator import SketchConfig
from stages.registry import ANNOTATORS
from stages.settings import marks, plain
from tests.pipeline.conftest import Make, Run
from tests.pipeline.small_coco import LICENSE_NAMES, write_coco


@pytest.fixture(scope="module")
def photographs(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight candidates of which four are samples, three to a shard."""
    root = tmp_path_factory.mktemp("card")
    write_coco(root / "coco")
    source = {"kind": "coco", "root": str(root / "coco"), "split": "val2017", "keypoints": False}
    run_inline(make_config(source=source, samples_per_shard=3, max_rejected_fraction=1.0), root / "data")
    return root / "data"


def card_of(path: Path) -> str:
    return (path / "README.md").read_text()


def rows_of(card: str, section: str) -> list[tuple[str, ...]]:
    """The cells of the first table under a heading, without its head."""
    text = card.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in lines[2:]]


@pytest.mark.parametrize("library", ["webdataset", "datasets", "condset", "torch"])
def test_the_program_in_the_card_runs_as_it_stands(photographs: Path, library: str, tmp_path: Path) -> None:
    program = card_of(photographs).split(f"With {library}:\n\n```python\n")[1].split("```")[0]
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=photographs,
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    expected = {
        "webdataset": r"000000000001 \(64, 64, 3\) \(64, 64, 3\) (a red square|ein großes Quadrat)\n",
        "datasets": r"4 000000000001 \(64, 64\) \(64, 64\) (a red square|ein großes Quadrat)\n",
        "condset": r"4 000000000001 \(64, 64, 3\) (a red square|ein großes Quadrat) \('color',\)\n",
        "torch": r"torch.Size\(\[4, 3, 64, 64\]\) torch.Size\(\[4, 3, 64, 64\]\) \[.*'one caption'.*\]\n",
    }
    assert re.fullmatch(expected[library], finished.stdout)


def test_the_programs_read_what_the_data_set_has(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    image = {"size_pixels": 64, "format": "png"}
    manifest = run_inline(make_config(image=image, annotators=[{"kind": "segmentation"}]), tmp_path / "data")
    programs = snippets(manifest, {})
    for library in ("webdataset", "datasets"):
        assert '["png"]' in programs[library]
        assert '["segmentation.png"]' in programs[library]
    assert 'torch("segmentation")' in programs["torch"]
    assert not [program for program in programs.values() if "jpg" in program]


def test_the_front_matter_is_what_the_hub_reads(photographs: Path) -> None:
    metadata = vars(DatasetCard(card_of(photographs)).data)
    assert {name: value for name, value in metadata.items() if value is not None} == {
        "pretty_name": "scenes",
        "license": "other",
        "task_categories": ["text-to-image"],
        "tags": ["webdataset", "condset", "t2i-adapter", "color"],
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "validation", "path": "shards/*.tar"}]}],
    }


def test_a_name_that_looks_like_a_number_stays_a_name(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    run_inline(make_config(name="2017"), tmp_path / "data")
    assert vars(DatasetCard(card_of(tmp_path / "data")).data)["pretty_name"] == "2017"


@pytest.mark.parametrize(
    ("samples", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (118_287, "100K<n<1M"), (600_000_000, "100M<n<1B")],
)
def test_the_size_has_the_hubs_name(samples: int, category: str) -> None:
    assert size_category(samples) == category


def test_licences_are_counted_over_the_samples(photographs: Path) -> None:
    by, no_rights = LICENSE_NAMES
    assert rows_of(card_of(photographs), "Licences of the images") == [
        (no_rights, "3"),
        (by.replace("|", r"\|"), "1"),
    ]


def test_rejections_are_counted_by_reason(photographs: Path) -> None:
    assert "Of 8 candidates 4 were rejected" in card_of(photographs)
    assert rows_of(card_of(photographs), "Rejected") == [
        ("duplicate_key", "1"),
        ("missing_file", "1"),
        ("no_caption", "1"),
        ("truncated", "1"),
    ]


def test_nothing_of_the_machine_is_in_the_card(photographs: Path) -> None:
    assert str(photographs.parent) not in card_of(photographs)


def test_a_copy_elsewhere_has_the_same_card(photographs: Path, tmp_path: Path) -> None:
    copy = Directory(str(shutil.copytree(photographs, tmp_path / "copy")))
    assert render_card(copy, read_manifest(copy)) == card_of(photographs)


def test_the_configuration_in_the_card_makes_the_same_data_set(photographs: Path) -> None:
    manifest = read_manifest(Directory(str(photographs)))
    tables = tomllib.loads(card_of(photographs).split("```toml\n")[1].split("```")[0])
    tables["source"]["root"] = "elsewhere"
    config = check_config(tables, "the card", PrepareConfig)
    inputs = dataset_inputs(config, str(manifest.inputs["index"]), {})
    assert fingerprint(inputs) == manifest.fingerprint


def test_a_setting_comes_back_from_the_card_whatever_is_in_it(photographs: Path) -> None:
    directory = Directory(str(photographs))
    manifest = read_manifest(directory)
    settings = {
        "kind": "mine",
        "words": 'quotes " \\ \n \x7f 雪',
        "numbers": [1e-5, 1.0, -3],
        "on": True,
        "pairs": [[1], []],
    }
    config = {**manifest.config, "annotators": [{**settings, "weights": None}]}
    card = render_card(directory, replace(manifest, config=config))
    assert tomllib.loads(card.split("```toml\n")[1].split("```")[0])["annotators"] == [settings]


def test_networks_are_named_with_their_weights_and_licence(photographs: Path) -> None:
    directory = Directory(str(photographs))
    manifest = read_manifest(directory)
    pidinet = ModelUse("pidinet", "table5_pidinet.pth", "80860ac267258b5f" + "0" * 48, "research only")
    own = ModelUse("a network of mine", "mine.pth", "f" * 64, "MIT")
    (color,) = manifest.conditions
    sketch = replace(color, spec=SketchConfig().spec, models=(pidinet, own))
    card = render_card(directory, replace(manifest, conditions=(sketch, color)))
    assert rows_of(card, "Conditions") == [
        (
            "sketch, version 1",
            "PiDiNet (table 5, carv4), BSDS500",
            "`table5_pidinet.pth`, sha256 `80860ac26725`",
            "research only",
        ),
        ("sketch, version 1", "a network of mine", "`mine.pth`, sha256 `ffffffffffff`", "MIT"),
        ("color, version 1", "none", "", ""),
    ]


def test_labels_are_listed_where_there_are_label_maps(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    manifest = run_inline(make_config(annotators=[{"kind": "segmentation"}]), tmp_path / "data")
    assert dict(rows_of(card_of(tmp_path / "data"), "Categories")) == manifest.labels  # type: ignore[arg-type]
    run_inline(make_config(), tmp_path / "without")
    assert "Categories" not in card_of(tmp_path / "without")


@pytest.mark.parametrize("kind", sorted(ANNOTATORS))
def test_every_member_is_described(kind: str, photographs: Path) -> None:
    directory = Directory(str(photographs))
    manifest = read_manifest(directory)
    entry = replace(manifest.conditions[0], spec=ANNOTATORS[kind]().spec)
    card = render_card(directory, replace(manifest, conditions=(entry,)))
    described = {file: what for file, what in rows_of(card, "Files of a sample") if what}
    assert {f"`<key>.{extension}`" for extension in entry.extensions} <= described.keys()


def test_a_damaged_record_does_not_keep_verify_from_comparing_the_card(photographs: Path, tmp_path: Path) -> None:
    copy = Directory(str(shutil.copytree(photographs, tmp_path / "copy")))
    copy.write("records/0000000.json", b"{")
    card = render_card(copy, read_manifest(copy))
    assert card != card_of(photographs)
    assert rows_of(card, "Licences of the images") == [(LICENSE_NAMES[1], "1")]


def test_where_no_condition_is_a_picture_the_programs_show_the_image(photographs: Path) -> None:
    manifest = read_manifest(Directory(str(photographs)))
    latents = replace(manifest.conditions[0], spec=LatentsConfig().spec, annotator="latents")
    with_color = snippets(replace(manifest, conditions=(latents, *manifest.conditions)), {})
    assert with_color == snippets(manifest, {})
    programs = snippets(replace(manifest, conditions=(latents,)), {})
    assert "torch" not in programs
    for program in programs.values():
        assert "latents" not in program
        assert "color.png" not in program


def test_the_place_of_the_latents_model_is_left_out_and_the_keypose_network_is_not(photographs: Path) -> None:
    directory = Directory(str(photographs))
    manifest = read_manifest(directory)
    annotators = (LatentsConfig(model="/home/me/sd15"), KeyposeConfig(model="rtmo-m"))
    config = {**manifest.config, "annotators": [plain(each) for each in annotators]}
    card = render_card(directory, replace(manifest, config=config, marks=marks(annotators, "annotators")))
    assert "/home/me" not in card
    assert 'model = "rtmo-m"' in card
