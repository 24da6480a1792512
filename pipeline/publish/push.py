"""`condset push`: upload a complete data set to a repository of a Hugging Face hub.

    shards/, records/, index/, layers/ ──> first commits     dataset.json, README.md, index.json, ... ──> last commit

The description comes last, so a repository whose dataset.json is this data set's has all of its shards. Shards of an
earlier data set are removed from the repository: its card names `shards/*.tar`, and a reader would take them all.
Pushing again after an interruption sends only what is not there yet: huggingface_hub compares hashes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.dataset.index import INDEX_FILE, PARTS
from pipeline.dataset.keys import KEYS_FILE
from pipeline.dataset.manifest import LAYERS, MANIFEST_FILE, REJECTED_FILE, SHARDS_FILE, layer_names, load_finished
from pipeline.dataset.record import RECORD_SUFFIX, RECORDS, SHARDS
from pipeline.dataset.storage import Directory
from pipeline.publish.card import CARD_FILE
from stages.errors import ConfigError
from stages.weights.hub import hub_failures

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

GO_ON = "push again: what is there already is not sent twice"
ADVICE = {
    401: "log in with `hf auth login`, or set HF_TOKEN to a token that may write",
    403: "use a token that may write there, or another repository",
    404: "check the name, and that the token may see the repository",
}
"""What to do about an HTTP status of the hub."""


def push(directory: Directory, repository: str, private: bool, api: "HfApi", say: Callable[[str], None]) -> str:
    """Upload a data set into `repository` ("user/name"), which is made if it does not exist, and return its address.

    `api` knows the hub's address and the token; `say` is given sentences for the user. Raises ManifestError if the
    data set or a layer of it is not complete; ConfigError if the hub refuses or cannot be reached, or if the repository
    has to be private and is there already as a public one.
    """
    manifest = load_finished(directory)
    for name in layer_names(directory):
        load_finished(directory / LAYERS / name)
    if not Path(directory.location).is_dir():
        raise ConfigError(f"{directory} must be a local directory to be pushed, got a URL; copy it here first")
    totals = manifest.totals
    message = f"{manifest.name}, {manifest.split}: {totals.samples} samples ({manifest.fingerprint[:12]})"
    with _in_one_line(repository, api.endpoint):
        made = api.create_repo(repository, private=private or None, repo_type="dataset", exist_ok=True)
        if private and not api.repo_info(made.repo_id, repo_type="dataset").private:
            raise ConfigError(
                f"repository {made.repo_id} must be private, got a public one that is there already; "
                "make it private on the hub, or leave out --private"
            )
        say(f"uploading {totals.samples} samples in {totals.shards} shards, {totals.tar_bytes / 1e6:.1f} MB")
        for files in (DATA, DESCRIPTION):
            api.upload_folder(
                repo_id=made.repo_id,
                repo_type="dataset",
                folder_path=directory.location,
                allow_patterns=files,
                delete_patterns=[*files, *FORMER_RECORDS],  # those that are in the repository and not in the data set
                commit_message=message,
            )
    return f"{api.endpoint}/datasets/{made.repo_id}"


@contextmanager
def _in_one_line(repository: str, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a ConfigError that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"repository must be <user>/<name>, got {repository!r} ({error})") from None
    except HfHubHTTPError as error:
        what = f"HTTP {error.response.status_code}"
        if error.server_message:
            what += f" ({' '.join(error.server_message.split())})"
        advice = ADVICE.get(error.response.status_code, GO_ON)
        raise ConfigError(f"push to {repository} must be accepted by {endpoint}, got {what}; {advice}") from None
    except hub_failures() as error:  # no connection, a timeout
        what = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"push to {repository} must reach {endpoint}, got {what}; fix that and {GO_ON}") from None
