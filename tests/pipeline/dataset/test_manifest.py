from pathlib import Path

import pytest

from pipeline.dataset.manifest import read_manifest, summarise
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
