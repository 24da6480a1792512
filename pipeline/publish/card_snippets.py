"""How to read a data set, in the data card: programs that run as they stand in the data set's directory.

Those of other libraries need nothing of condset. A test runs each of them.
"""

from collections.abc import Mapping

from pipeline.dataset.manifest import Manifest

HELD_OUT_SPLITS = ("val", "dev", "test")
"""How the names of splits begin that nothing is trained on."""

WEBDATASET = """\
from pathlib import Path

import webdataset

tars = [str(path) for path in sorted(Path(".").glob("shards/*.tar"))]
for sample in webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"):
    image, condition, caption = sample["{image}"], sample["{condition}"], sample["txt"]
    print(sample["__key__"], image.shape, condition.shape, caption)
    break
"""

DATASETS = """\
from pathlib import Path

from datasets import load_dataset

data = load_dataset(str(Path.cwd()), split="{split}")  # or the name of its repository on the hub
sample = data[0]
print(len(data), sample["__key__"], sample["{image}"].size, sample["{condition}"].size, sample["txt"])
"""

JOIN = """\
from pathlib import Path

from datasets import load_dataset

data = load_dataset(str(Path.cwd()), "default", split="{split}")
layer = load_dataset(str(Path.cwd()), "{layer}", split="{split}")
numbers = {{key: number for number, key in enumerate(layer["__key__"])}}  # a layer may have rejected some samples
sample = next(sample for sample in data if sample["__key__"] in numbers)
added = layer[numbers[sample["__key__"]]]
print(sample["__key__"], sample["{image}"].size, sample["txt"], sorted(added))
"""

CONDSET = """\
import condset

data = condset.open_dataset(".")  # with its layers; data["KEY"] finds a sample by its key
sample = data[0]
print(len(data), sample.key, sample.image().shape, sample.caption, sample.conditions)
"""

TORCH = """\
import condset
import torch

data = condset.open_dataset(".", whole=True)  # the samples that every layer has
for batch in torch.utils.data.DataLoader(data.torch("{name}"), batch_size=4, shuffle=True):
    print(batch["image"].shape, batch["condition"].shape, batch["caption"])
    break
"""


def snippets(manifest: Manifest, layers: Mapping[str, Manifest]) -> dict[str, str]:
    """Return a program for each library, by the library's name; each reads the image, a condition's picture, the text.

    It is the first condition that has a picture; where none has, the image stands in for it.
    """
    image = manifest.image.format
    here = [entry.spec for entry in manifest.conditions if entry.spec.shown]
    everywhere = [*here, *(entry.spec for layer in layers.values() for entry in layer.conditions if entry.spec.shown)]
    names = {
        "split": card_split(manifest.split),
        "image": image,
        "condition": next((spec.shown for spec in here), image),
        "name": next((spec.name for spec in everywhere), ""),
        "layer": next(iter(layers), ""),
    }
    programs = {"webdataset": WEBDATASET, "datasets": DATASETS}
    if layers:
        programs["datasets, joined with a layer"] = JOIN
    programs["condset"] = CONDSET
    if everywhere:
        programs["torch"] = TORCH
    return {library: program.format_map(names) for library, program in programs.items()}


def card_split(split: str) -> str:
    """Return the hub's name for a source's split: scripts ask for `train` and `validation`."""
    return "validation" if split.lower().startswith(HELD_OUT_SPLITS) else "train"
