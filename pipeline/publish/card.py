"""The data card: README.md of a data set, for its readers and for the Hugging Face hub.

    dataset.json, also of the layers, the records, the index ──> README.md

Its front matter names the tars, so that `datasets.load_dataset(DIRECTORY)` reads them; each layer is a configuration of
its own. The card is a function of those files alone, without time, host or path, so that `condset verify` can tell a
stale one.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

import tomli_w

from pipeline.dataset.conditions import ConditionEntry
from pipeline.dataset.manifest import LAYERS, MANIFEST_FILE, Manifest, layer_names, read_manifest
from pipeline.dataset.storage import Directory
from pipeline.publish.card_snippets import card_split, snippets
from pipeline.publish.licenses import count_licenses
from pipeline.publish.markdown import markdown_table
from stages.records import Condition
from stages.settings import Mark
from stages.weights.catalogue import MODELS

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value] | None"
"""A setting, as dataset.json has it."""

CARD_FILE = "README.md"

SHOWN_HASH_DIGITS = 12

NOT_IN_CARD = frozenset({"execution"})
"""How the work was spread over a machine; what of it may show in the data is in the numerics."""

SIZE_CATEGORIES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)
"""The hub's names for how many samples there are."""


def render_card(directory: Directory, manifest: Manifest) -> str:
    """Compose the card from the manifest and, for the photographs' licences, the index and the records.

    Raises OSError if the index cannot be read.
    """
    layers = _finished_layers(directory)
    sections = [
        _front_matter(manifest, layers),
        _introduction(manifest),
        _members(manifest),
        *_conditions(manifest.conditions),
        _licenses(count_licenses(directory, manifest.samples_per_shard)),
        _rejections(manifest),
        *_layers(layers),
        *_reading(manifest, layers),
        _making(manifest),
        *_labels(manifest),
    ]
    return "\n".join(sections)


def _front_matter(manifest: Manifest, layers: Mapping[str, Manifest]) -> str:
    # JSON strings are YAML's too, and keep a name such as 2017 or true from being read as something else.
    tags = ["webdataset", "condset", "t2i-adapter", *(condition.name for condition in manifest.conditions)]
    return f"""---
pretty_name: {json.dumps(manifest.name)}
license: other
task_categories:
- text-to-image
tags:
{chr(10).join(f"- {tag}" for tag in tags)}
size_categories:
- {size_category(manifest.totals.samples)}
configs:
{_configurations(manifest, layers)}---"""


def _configurations(manifest: Manifest, layers: Mapping[str, Manifest]) -> str:
    """The data set, and each layer as a configuration of its own: a reader takes one of them, and joins by key."""
    places = {"default": "shards", **{name: f"{LAYERS}/{name}/shards" for name in layers}}
    split = card_split(manifest.split)
    return "".join(
        f"- config_name: {json.dumps(name)}\n  data_files:\n  - split: {split}\n    path: {place}/*.tar\n"
        for name, place in places.items()
    )


def lists_layer(card: bytes, name: str) -> bool:
    """Whether a card has a configuration for a layer."""
    return f"\n- config_name: {json.dumps(name)}\n".encode() in card


def size_category(samples: int) -> str:
    """Return the hub's name for a number of samples."""
    return next((name for limit, name in SIZE_CATEGORIES if samples < limit), "n>1B")


def _introduction(manifest: Manifest) -> str:
    totals = manifest.totals
    conditions = ", ".join(condition.name for condition in manifest.conditions)
    made = f" and what condset made of it: {conditions}" if conditions else ""
    size = " x ".join(map(str, manifest.size_pixels))
    return f"""# {manifest.name}, {manifest.split}

{totals.samples} samples in {totals.shards} shards, {totals.tar_bytes / 1e6:.1f} MB. Each sample is an image of {size}
pixels with its captions{made}.
"""


def _members(manifest: Manifest) -> str:
    files = [
        (manifest.image.format, "the image, RGB"),
        ("txt", "one of its captions, UTF-8"),
        ("json", "all captions, licence, source URL, size of the original, the box of it that is the image"),
    ]
    for condition in manifest.conditions:
        files += [(member.extension, member.title) for member in condition.spec.members]
    rows = [(f"`<key>.{extension}`", what) for extension, what in files]
    return f"## Files of a sample\n\n{markdown_table(('file', 'holds'), rows)}"


def _conditions(conditions: Sequence[ConditionEntry], heading: str = "Conditions") -> Iterator[str]:
    rows = []
    for condition in conditions:
        name = f"{condition.name}, version {condition.algorithm_version}"
        for model in condition.models:
            network = MODELS[model.name].network if model.name in MODELS else model.name
            weights = f"`{model.file}`, sha256 `{model.sha256[:SHOWN_HASH_DIGITS]}`"
            rows.append((name, network, weights, model.license))
        if not condition.models:
            rows.append((name, "none", "", ""))
    if rows:
        yield f"## {heading}\n\n{markdown_table(('condition', 'network', 'weights', 'licence of the weights'), rows)}"


def _licenses(counts: dict[str, int]) -> str:
    rows = [(license or "not stated", str(count)) for license, count in counts.items()]
    return f"""## Licences of the images

Each image stays under the licence of whoever published it; `<key>.json` has it, and the URL, as the source states them.

{markdown_table(("licence", "samples"), rows)}"""


def _rejections(manifest: Manifest) -> str:
    totals = manifest.totals
    introduction = f"Of {totals.rows} candidates {totals.rejected} were rejected"
    if not totals.rejected:
        return f"## Rejected\n\n{introduction}.\n"
    rows = [(reason, str(count)) for reason, count in totals.rejected_by_reason.items()]
    return f"""## Rejected

{introduction}; `rejected.jsonl` has each of them with its reason.

{markdown_table(("reason", "candidates"), rows)}"""


def _finished_layers(directory: Directory) -> dict[str, Manifest]:
    """The layers that are complete, by name."""
    homes = {name: directory / LAYERS / name for name in layer_names(directory)}
    manifests = {name: read_manifest(home) for name, home in homes.items() if home.exists(MANIFEST_FILE)}
    return {name: manifest for name, manifest in manifests.items() if manifest.complete}


def _layers(layers: Mapping[str, Manifest]) -> Iterator[str]:
    """What was added to the samples later."""
    if not layers:
        return
    rows = []
    for name, layer in layers.items():
        for member in (member for entry in layer.conditions for member in entry.spec.members):
            rows.append((name, f"`<key>.{member.extension}`", member.title, str(layer.totals.samples)))
    yield f"""## Layers

Added later, in `{LAYERS}/<name>/shards`, under the same keys; each is a configuration of its own.

{markdown_table(("layer", "file", "holds", "samples"), rows)}"""
    yield from _conditions(
        [entry for layer in layers.values() for entry in layer.conditions], "Conditions of the layers"
    )


def _reading(manifest: Manifest, layers: Mapping[str, Manifest]) -> Iterator[str]:
    yield "## Reading it\n\nEach program runs as it stands, in this directory.\n"
    for library, program in snippets(manifest, layers).items():
        yield f"With {library}:\n\n```python\n{program}```\n"


def _making(manifest: Manifest) -> str:
    numerics = manifest.numerics
    dtypes = "".join(f", {name} in {dtype}" for name, dtype in numerics.dtypes.items() if dtype != "none")
    threads = f"{numerics.threads_per_worker} threads a worker and batches of {numerics.batch_size}"
    versions = ", ".join(f"{name} {version}" for name, version in numerics.versions.items())
    places = {name for name, mark in manifest.marks.items() if mark == Mark.PLACE}
    configuration = {
        name: _without_places(value, places, name) for name, value in manifest.config.items() if name not in NOT_IN_CARD
    }
    return f"""## How it was made

By `condset prepare` with the configuration below, on {numerics.device} with {threads}{dtypes}.
Settings that name a place on the machine, such as `root`, are left out of it.

- fingerprint: `{manifest.fingerprint}`
- format: {manifest.format}
- versions: {versions}

```toml
{tomli_w.dumps(configuration)}```
"""


def _without_places(value: Value, places: Collection[str], name: str = "") -> Value:
    """Leave out the settings below `name` that say where something lies on a machine."""
    if isinstance(value, Mapping):
        return {
            key: _without_places(inner, places, f"{name}.{key}")
            for key, inner in value.items()
            if f"{name}.{key}" not in places and inner is not None  # which is how a TOML file says it
        }
    if isinstance(value, list | tuple):
        return [_without_places(each, places, f"{name}.{position}") for position, each in enumerate(value)]
    return value


def _labels(manifest: Manifest) -> Iterator[str]:
    if manifest.labels and any(condition.name == Condition.SEGMENTATION for condition in manifest.conditions):
        table = markdown_table(("id", "name"), list(manifest.labels.items()))
        yield f"## Categories\n\n<details><summary>{len(manifest.labels)} names</summary>\n\n{table}\n</details>\n"
