import json
from pathlib import Path

import pytest

from pipeline.dataset.manifest import layer_names, read_manifest, summarise
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError


def test_a_data_set_that_does_not_account_for_every_row_is_not_complete(data_set: Path) -> None:
    directory = Directory(str(data_set))
    manifest = read_manifest(directory)
    (data_set / "records/0000001.json").unlink()
    with pytest.raises(ManifestError) as caught:
        summarise(directory, manifest)
    assert str(caught.value) == (
        f"{data_set}/records must account for all 12 rows of the index, got 7; `condset verify` names the shard"
    )


@pytest.mark.parametrize(
    ("found", "what_to_do"),
    [
        (1, "`condset upgrade {}` brings it over and touches no tar"),
        (3, "read it with its own condset"),
    ],
)
def test_another_format_is_one_line_that_says_what_to_do(data_set: Path, found: int, what_to_do: str) -> None:
    """Whatever else stands in a manifest of another format is not looked at."""
    (data_set / "dataset.json").write_text(json.dumps({"format": found, "conditions": ["color"]}))
    with pytest.raises(ManifestError) as caught:
        read_manifest(Directory(str(data_set)))
    advice = what_to_do.format(data_set)
    assert str(caught.value) == f"{data_set}/dataset.json must have format 2, got {found}; {advice}"


def test_what_is_hidden_is_no_layer(tmp_path: Path) -> None:
    for name in ("depth", ".DS_Store", "._depth", "_temporary", ".ipynb_checkpoints"):
        (tmp_path / "layers" / name).mkdir(parents=True)
    assert layer_names(Directory(str(tmp_path))) == ["depth"]
