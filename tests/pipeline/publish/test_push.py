"""`condset push` against a hub on localhost."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from pipeline.dataset.manifest import read_manifest, write_manifest
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from pipeline.publish.push import push
from pipeline.run import prepare
from stages.errors import ConfigError, ManifestError
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.dataset.test_reader import add_layer
from tests.pipeline.publish.fake_hub import TOKEN, Hub, fake_hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with fake_hub() as hub:
        yield hub


def push_quietly(directory: Path, hub: Hub, repository: str = "me/scenes", private: bool = False) -> str:
    api = HfApi(endpoint=hub.url, token=TOKEN)
    return push(Directory(str(directory)), repository, private, api, lambda sentence: None)


def files_of(hub: Hub, repository: str = "me/scenes") -> dict[str, bytes]:
    return {path: content for path, content in hub.repositories[repository].items() if path != ".gitattributes"}


def test_the_repository_holds_the_data_set_and_nothing_else(data_set: Path, hub: Hub) -> None:
    (data_set / "shards/0000000.tar.0123.partial").write_bytes(b"of an attempt that was cut off")
    (data_set / "notes.txt").write_text("private")
    assert push_quietly(data_set, hub) == f"{hub.url}/datasets/me/scenes"
    (data_set / "shards/0000000.tar.0123.partial").unlink()
    (data_set / "notes.txt").unlink()
    assert files_of(hub) == tree(data_set)


def test_the_description_comes_after_the_shards(data_set: Path, hub: Hub) -> None:
    push_quietly(data_set, hub)
    first, last = hub.commits
    assert all(change.startswith(("+ shards/", "+ records/", "+ index/")) for change in first)
    assert "+ dataset.json" in last
    assert "+ README.md" in last


def test_pushing_again_sends_nothing(data_set: Path, hub: Hub) -> None:
    push_quietly(data_set, hub)
    commits = len(hub.commits)
    push_quietly(data_set, hub)
    assert len(hub.commits) == commits


def test_a_push_that_was_cut_off_goes_on_where_it_stopped(data_set: Path, hub: Hub) -> None:
    hub.forbidden_paths.add("dataset.json")
    with pytest.raises(ConfigError):
        push_quietly(data_set, hub)
    assert "dataset.json" not in files_of(hub)
    hub.forbidden_paths.clear()
    push_quietly(data_set, hub)
    assert files_of(hub) == tree(data_set)
    assert not [change for change in hub.commits[1] if "/" in change]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # huggingface_hub's own, in how it hands a file to httpx
def test_large_files_that_are_there_are_not_sent_again(
    data_set: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.large_files = True
    hub.forbidden_paths.add("shards/0000000.tar")
    with pytest.raises(ConfigError):
        push_quietly(data_set, hub)
    assert hub.transfers == 3
    hub.forbidden_paths.clear()
    push_quietly(data_set, hub)
    assert hub.transfers == 3
    assert files_of(hub) == tree(data_set)


def test_shards_of_an_earlier_data_set_are_removed(
    make_config: Make, run_inline: Run, data_set: Path, tmp_path: Path, hub: Hub
) -> None:
    push_quietly(data_set, hub)
    run_inline(make_config(limit=4), tmp_path / "smaller")
    push_quietly(tmp_path / "smaller", hub)
    assert files_of(hub) == tree(tmp_path / "smaller")


def test_layers_are_pushed_with_their_data_set(make_config: Make, data_set: Path, hub: Hub) -> None:
    config = make_config(annotators=[{"kind": "segmentation"}])
    prepare_layer(config, Directory(str(data_set)), offline())
    push_quietly(data_set, hub)
    assert files_of(hub) == tree(data_set)
    first, last = hub.commits
    assert "+ layers/segmentation/shards/0000000.tar" in first
    assert "+ layers/segmentation/dataset.json" in last
    push_quietly(data_set, hub)
    assert len(hub.commits) == 2


def test_a_data_set_with_an_unfinished_layer_is_refused(make_config: Make, data_set: Path, hub: Hub) -> None:
    layer = Directory(str(data_set / "layers/segmentation"))
    layer.make()
    write_manifest(layer, replace(read_manifest(Directory(str(data_set))), complete=False))
    with pytest.raises(ManifestError, match="layers/segmentation must be complete"):
        push_quietly(data_set, hub)


def test_an_incomplete_data_set_is_refused_before_anything_is_made(data_set: Path, hub: Hub) -> None:
    directory = Directory(str(data_set))
    write_manifest(directory, replace(read_manifest(directory), complete=False))
    with pytest.raises(ManifestError, match="must be complete"):
        push_quietly(data_set, hub)
    assert not hub.repositories


def test_a_data_set_behind_a_url_is_refused_before_anything_is_made(
    make_config: Make, tmp_path: Path, hub: Hub
) -> None:
    directory = Directory(f"memory://{tmp_path}/data")
    prepare(make_config(), directory, offline())
    with pytest.raises(ConfigError) as caught:
        push(directory, "me/scenes", False, HfApi(endpoint=hub.url, token=TOKEN), lambda said: None)
    assert str(caught.value) == (
        f"memory://{tmp_path}/data must be a local directory to be pushed, got a URL; copy it here first"
    )
    assert not hub.repositories


def test_private_makes_a_private_repository(data_set: Path, hub: Hub) -> None:
    push_quietly(data_set, hub, private=True)
    assert hub.private == {"me/scenes"}


def test_private_data_never_goes_to_a_public_repository_that_is_there(data_set: Path, hub: Hub) -> None:
    hub.repositories["me/scenes"] = {}
    with pytest.raises(ConfigError, match="must be private, got a public one that is there already; make it private"):
        push_quietly(data_set, hub, private=True)
    assert not files_of(hub)


def test_a_repository_of_someone_else_is_one_line(data_set: Path, hub: Hub) -> None:
    with pytest.raises(ConfigError) as caught:
        push_quietly(data_set, hub, "them/scenes")
    assert str(caught.value) == (
        f"push to them/scenes must be accepted by {hub.url}, got HTTP 403 (You don't have the rights to create a "
        'dataset under "them/scenes"); use a token that may write there, or another repository'
    )


def test_a_wrong_token_is_one_line(data_set: Path, hub: Hub) -> None:
    api = HfApi(endpoint=hub.url, token="hf_another")
    with pytest.raises(ConfigError) as caught:
        push(Directory(str(data_set)), "me/scenes", False, api, lambda sentence: None)
    assert str(caught.value) == (
        f"push to me/scenes must be accepted by {hub.url}, got HTTP 401 (Invalid username or password.); "
        "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
    )


def test_a_name_that_no_repository_can_have_is_one_line(data_set: Path, hub: Hub) -> None:
    with pytest.raises(ConfigError, match=r"^repository must be <user>/<name>, got 'a/b/c' \(.*\)$"):
        push_quietly(data_set, hub, "a/b/c")


def test_a_hub_that_does_not_answer_is_one_line(data_set: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        push_quietly(data_set, Hub(url="http://127.0.0.1:9"))
    message = str(caught.value)
    assert message.startswith("push to me/scenes must reach http://127.0.0.1:9, got ")
    assert message.endswith("; fix that and push again: what is there already is not sent twice")
    assert "\n" not in message


LOAD = """
import json
import condset
from datasets import load_dataset

found = {}
for configuration in (None, "canny"):
    for sample in load_dataset("me/scenes", configuration, split="train"):
        found.setdefault(sample["__key__"], []).append(sorted(name for name in sample if not name.startswith("__")))
data = condset.open_dataset("hf://datasets/me/scenes")
assert [sample.key for sample in data] == sorted(found) and data["000000007"].conditions == ("color", "canny")
print(json.dumps(found))
"""


def test_a_data_set_with_a_layer_is_read_back_by_datasets_and_by_condset(
    data_set: Path, make_config: Make, hub: Hub, tmp_path: Path
) -> None:
    add_layer(data_set, {"kind": "canny"}, make_config)
    push_quietly(data_set, hub)
    places = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    program = [sys.executable, "-W", "ignore", "-c", LOAD]
    loaded = subprocess.run(program, env=os.environ | places, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    expected = [["color.png", "jpg", "json", "txt"], ["canny.png"]]
    assert json.loads(loaded.stdout) == {f"{number:09d}": expected for number in range(12)}
