"""`condset push`: upload a complete data set to a repository of a Hugging Face hub.

    shards/, records/, index/, layers/ ──> first commits     dataset.json, README.md, index.json, ... ──> last commit

The description comes last, so a repository whose dataset.json is this data set's has all of its shards. Shards of an
earlier data set are removed from the repository: its card names `shards/*.tar`, and a reader would take them all.
Pushing again after an interruption sends only what is not there yet: huggingface_hub compares hashes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.dataset.index import INDEX_FILE, PARTS
from pipeline.dataset.keys import KEYS_FILE
from pipeline.dataset.manifest import (
    LAYERS,
    MANIFEST_FILE,
    REJECTED_FILE,
    SHARDS_FILE,
    layer_names,
    load_dataset,
    load_finished,
)
from pipeline.dataset.record import RECORD_SUFFIX, RECORDS, SHARDS
from pipeline.dataset.storage import Directory
from pipeline.publish.card import CARD_FILE
from pipeline.publish.hub import hub_errors, make_repository
from stages.errors import ConfigError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PLACES = ("", f"{LAYERS}/*/")
FORMER_RECORDS = [f"{place}{SHARDS}/*.json" for place in PLACES]
"""Of format 1, which a repository may hold from an earlier push; nothing else lies in shards/ now."""
DATA = [
    *(f"{place}{files}" for place in PLACES for files in (f"{SHARDS}/*.tar", f"{RECORDS}/*{RECORD_SUFFIX}")),
    f"{PARTS}/*.parquet",
]
DESCRIPTION = [
    *(f"{place}{file}" for place in PLACES for file in (MANIFEST_FILE, SHARDS_FILE, REJECTED_FILE, KEYS_FILE)),
    INDEX_FILE,
    CARD_FILE,
]


def push(directory: Directory, repository: str, private: bool, api: "HfApi", say: Callable[[str], None]) -> str:
    """Upload a data set into `repository` ("user/name"), which is made if it does not exist, and return its address.

    `api` knows the hub's address and the token; `say` is given sentences for the user. Raises ManifestError if the
    data set or a layer of it is not complete; ConfigError if the hub refuses or cannot be reached, or if the repository
    has to be private and is there already as a public one.
    """
    manifest = load_dataset(directory)
    for name in layer_names(directory):
        load_finished(directory / LAYERS / name)
    if not Path(directory.location).is_dir():
        raise ConfigError(f"{directory} must be a local directory to be pushed, got a URL; copy it here first")
    totals = manifest.totals
    message = f"{manifest.name}, {manifest.split}: {totals.samples} samples ({manifest.fingerprint[:12]})"
    with hub_errors(repository, api.endpoint):
        made = make_repository(api, repository, private, "dataset")
        say(f"uploading {totals.samples} samples in {totals.shards} shards, {totals.tar_bytes / 1e6:.1f} MB")
        for files in (DATA, DESCRIPTION):
            api.upload_folder(
                repo_id=made,
                repo_type="dataset",
                folder_path=directory.location,
                allow_patterns=files,
                delete_patterns=[*files, *FORMER_RECORDS],  # those that are in the repository and not in the data set
                commit_message=message,
            )
    return f"{api.endpoint}/datasets/{made}"
