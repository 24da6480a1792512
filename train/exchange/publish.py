"""Publishing the adapter of a run: what `export` writes, with its card, in a repository of a Hugging Face hub.

RUN ──export──> config.json, weights, README.md ──one commit──> REPO
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.publish.hub import hub_errors, make_repository
from train.exchange.export import CARD_FILE, card_of, export_run
from train.exchange.t2i_layout import Layout

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def push_run(
    run: Path, layout: Layout, repository: str, private: bool, api: "HfApi", say: Callable[[str], None]
) -> str:
    """Upload the adapter of a run's last checkpoint into `repository` ("user/name"), and return its address.

    Raises what `export_run` raises, before the hub is asked; ConfigError if the hub refuses or cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="condset-push-") as scratch:
        name = repository.rpartition("/")[2] or "adapter"
        exported = Path(scratch) / (name if layout == "diffusers" else f"{name}.safetensors")
        export_run(run, layout, exported)
        folder = exported
        if layout == "t2i":
            folder = Path(scratch)
            card_of(exported).rename(folder / CARD_FILE)
        size = sum(path.stat().st_size for path in folder.iterdir())
        with hub_errors(repository, api.endpoint):
            made = make_repository(api, repository, private, "model")
            say(f"uploading the adapter of {run}, {size / 1e6:.1f} MB")
            message = f"The adapter of {run.resolve().name}"
            api.upload_folder(repo_id=made, repo_type="model", folder_path=folder, commit_message=message)
    return f"{api.endpoint}/{made}"
