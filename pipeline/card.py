"""The data card: README.md of a data set, for its readers and for the Hugging Face hub.

Its front matter names the tars, so that `datasets.load_dataset(DIRECTORY)` reads them.
"""

from pipeline.manifest import Manifest
from pipeline.storage import Directory

CARD_FILE = "README.md"


def render_card(directory: Directory, manifest: Manifest) -> str:
    """Compose the card from the manifest and the index's licences."""
    totals = manifest.totals
    conditions = "\n".join(
        f"| {entry.name} | {', '.join(f'`{each}`' for each in entry.extensions)} | "
        f"{', '.join(f'{model.file} ({model.license})' for model in entry.models) or 'no network'} |"
        for entry in manifest.conditions
    )
    rejected = "\n".join(f"- {count} {reason}" for reason, count in totals.rejected_by_reason.items()) or "- none"
    return f"""---
pretty_name: {manifest.name}
task_categories:
- text-to-image
tags:
- webdataset
- condset
configs:
- config_name: default
  data_files:
  - split: {manifest.split}
    path: shards/*.tar
---
# {manifest.name}, {manifest.split}

{totals.samples} samples (image, caption, condition) in {totals.shards} WebDataset shards, made by condset.

| condition | members | made by |
|---|---|---|
{conditions}

Of {totals.rows} candidates, {totals.rejected} were rejected; each is in `rejected.jsonl` with its reason:

{rejected}
"""
