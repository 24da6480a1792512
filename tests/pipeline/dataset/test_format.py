"""docs/format.md against what is written: every field that is written stands in its tables, and the other way round."""

import io
import json
import re
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from stages.annotators.condition import Encoding, MirrorKind, Resize
from stages.records import FACTS, Reason
from tests.offline import offline
from tests.pipeline.conftest import Make, Run

SPECIFICATION = (Path(__file__).parents[3] / "docs/format.md").read_text()


def table(first_heading: str) -> dict[str, list[str]]:
    """The table that begins with a heading: the code in its first column to the cells of the row."""
    lines = SPECIFICATION.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        rows[cells[0].strip("` ")] = cells[1:]
    return rows


@pytest.fixture(scope="module")
def written(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes with every condition that needs no weights, some rejected, and a layer."""
    directory = tmp_path_factory.mktemp("format") / "data"
    annotators: list[dict[str, Any]] = [
        {"kind": "color"},
        {"kind": "segmentation"},
        {"kind": "keypose", "from": "annotations", "min_persons": 1},
    ]
    run_inline(make_config(annotators=annotators), directory)
    layer = make_config(annotators=[{"kind": "canny"}])
    prepare_layer(layer, Directory(str(directory)), offline())
    return directory


def loaded(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_every_file_is_specified_and_every_specified_file_is_there(written: Path) -> None:
    paths = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    of_layer = {path for path in paths if path.startswith("layers/")}
    generic = {re.sub(r"\d{7}", "<>", path) for path in paths - of_layer}
    specified = {re.sub(r"<(part|shard)>", "<>", name) for name in table("path") if not name.startswith("layers/")}
    assert generic == specified
    (text,) = (cells[0] for name, cells in table("path").items() if name.startswith("layers/"))
    named = set(re.findall(r"`([^`]+)`", text))
    assert {path.split("/")[2] for path in of_layer} == {name.rstrip("/") for name in named}


@pytest.mark.parametrize(
    ("heading", "place"), [("field of the manifest", "dataset.json"), ("field of the index", "index.json")]
)
def test_the_fields_of_a_file_are_those_of_its_table(heading: str, place: str, written: Path) -> None:
    assert list(loaded(written / place)) == list(table(heading))


def test_a_layers_manifest_has_the_same_fields(written: Path) -> None:
    assert list(loaded(written / "layers/canny/dataset.json")) == list(table("field of the manifest"))
    assert "base" in loaded(written / "layers/canny/dataset.json")["inputs"]


def test_the_fields_of_conditions_and_members_are_those_of_their_tables(written: Path) -> None:
    conditions = loaded(written / "dataset.json")["conditions"]
    assert [each["name"] for each in conditions] == ["color", "segmentation", "keypose"]
    for condition in conditions:
        assert list(condition) == list(table("field of a condition"))
        for member in condition["members"]:
            assert list(member) == list(table("field of a member"))


@pytest.mark.parametrize(
    ("heading", "field", "values"),
    [
        ("field of a member", "encoding", Encoding),
        ("field of a condition", "mirror", MirrorKind),
        ("field of a condition", "resize", Resize),
    ],
)
def test_closed_sets_are_named_whole(heading: str, field: str, values: Collection[str]) -> None:
    named = set(re.findall(r"`([a-z_]+)`", table(heading)[field][1])) - {"kind", "pairs"}
    assert named == {str(value) for value in values}


def test_the_columns_of_the_index_are_those_of_its_table(written: Path) -> None:
    schema = pq.read_schema(written / "index/0000000.parquet")
    columns = {field.name: re.sub(r" \('\w+'\)", "", str(field.type)).replace("element:", "item:") for field in schema}
    assert columns == {name: cells[0] for name, cells in table("column of the index").items()}


def test_the_fields_of_records_and_lines_are_those_of_their_tables(written: Path) -> None:
    for record in (written / "records").iterdir():
        assert set(loaded(record)) == set(table("field of a record"))
    for heading, name in (("line of shards.jsonl", "shards.jsonl"), ("line of rejected.jsonl", "rejected.jsonl")):
        lines = (written / name).read_text().splitlines()
        assert lines
        for line in lines:
            assert list(json.loads(line)) == list(table(heading))


def test_the_fields_of_a_sample_are_those_of_its_table(written: Path) -> None:
    specified = list(table("field of a sample"))
    for path in (written / "shards").iterdir():
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    content = tar.extractfile(member)
                    assert content is not None
                    assert list(json.load(io.BytesIO(content.read()))) == specified[:-1]
    assert specified[-1] == "scores"  # which drawn scenes do not have


def test_the_facts_that_a_source_may_state_are_named() -> None:
    assert ", ".join(f"`{name}`" for name in FACTS) in SPECIFICATION


def test_the_reasons_are_those_of_their_table() -> None:
    assert list(table("reason")) == [str(reason) for reason in Reason]


def test_the_manifest_is_read_back_as_it_was_written(written: Path) -> None:
    for directory in (written, written / "layers/canny"):
        assert read_manifest(Directory(str(directory))).to_json() == (directory / "dataset.json").read_bytes()
