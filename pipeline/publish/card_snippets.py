"""How to read a data set, in the data card: programs that run as they stand in the data set's directory.

They need nothing of condset. A test runs each of them.
"""

from pipeline.dataset.manifest import Manifest

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

TORCH = '''\
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image


class Samples(torch.utils.data.Dataset):
    """Random access: the records say at which byte of its tar each sample lies."""

    def __init__(self, directory):
        self.shards = Path(directory) / "shards"
        records = [json.loads(path.read_bytes()) for path in sorted(Path(directory).glob("records/*.json"))]
        self.entries = [(record["tar"], *entry[1:3]) for record in records for entry in record["samples"]]

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, number):
        tar, offset, length = self.entries[number]
        with open(self.shards / tar, "rb") as file:
            file.seek(offset)
            run = io.BytesIO(file.read(length))
        with tarfile.open(fileobj=run) as members:
            files = {{each.name.partition(".")[2]: members.extractfile(each).read() for each in members}}
        image = Image.open(io.BytesIO(files["{image}"])).convert("RGB")
        condition = Image.open(io.BytesIO(files["{condition}"])).convert("RGB")
        image_chw, condition_chw = (torch.from_numpy(np.array(each)).permute(2, 0, 1) for each in (image, condition))
        return {{"image": image_chw / 255, "condition": condition_chw / 255, "caption": files["txt"].decode()}}


for batch in torch.utils.data.DataLoader(Samples("."), batch_size=4, shuffle=True):
    print(batch["image"].shape, batch["condition"].shape, batch["caption"])
    break
'''


def snippets(manifest: Manifest) -> dict[str, str]:
    """Return a program for each library, by the library's name; each reads the image, the first condition, the text.

    It is the first one that is a picture; where none is, the image stands in for it.
    """
    image = manifest.image.format
    pictures = [entry.spec.shown for entry in manifest.conditions if entry.spec.shown]
    names = {"split": manifest.split, "image": image, "condition": next(iter(pictures), image)}
    programs = {"webdataset": WEBDATASET, "datasets": DATASETS, "torch": TORCH}
    return {library: program.format_map(names) for library, program in programs.items()}
