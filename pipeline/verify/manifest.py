"""Check what describes a data set as a whole: dataset.json against itself, and the index against dataset.json.

    config ──┬──> inputs ──> fingerprint          index.json, index/*.parquet ──> sha256, rows, keys
             └──> conditions

Everything in dataset.json besides the totals follows from its config, its index (in a layer: the data set below) and
the hashes of the weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.conditions import ConditionEntry
from pipeline.dataset.fingerprint import Inputs, dataset_inputs, fingerprint, layer_inputs
from pipeline.dataset.index import INDEX_FILE, PARTS, Index, IndexReader, open_index, part_sha256, read_rows
from pipeline.dataset.manifest import MANIFEST_FILE, ImageFacts, Manifest, SourceFacts, read_manifest
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.storage import Directory
from pipeline.verify.field_types import mistyped
from pipeline.verify.problem import REMAKE_MANIFEST, Problem
from stages.annotators.condition import ConditionSpec
from stages.annotators.latents import NETWORK as VAE
from stages.annotators.latents import LatentsConfig
from stages.annotators.protocol import AnnotatorConfig
from stages.errors import ConfigError, ManifestError
from stages.records import IndexRow
from stages.settings import marks
from stages.sources.index.identities import IdentitySet, key_identities

UNREADABLE = (OSError, ValueError, TypeError, pa.ArrowException)
"""What pyarrow, and the conversion of its values, raise for a damaged file."""

DTYPES = ("float32", "bfloat16", "float16")
NO_DTYPE = ("none",)
MOST_THREADS_OR_IMAGES = 4096


@dataclass(frozen=True, slots=True)
class Description:
    """What a data set or a layer says of itself, in types that can be relied upon."""

    manifest: Manifest
    config: PrepareConfig

    @property
    def fingerprints(self) -> frozenset[str]:
        """What its records may be made for: if the recorded one is not that of its inputs, that is said already."""
        return frozenset({self.manifest.fingerprint, fingerprint(self.manifest.inputs)})

    @property
    def labels(self) -> frozenset[int]:
        """The category ids that have a name."""
        return frozenset(int(each) for each in self.manifest.labels if each.isdecimal())


def read_description(directory: Directory) -> Description:
    """Read dataset.json; ManifestError if it cannot be used."""
    where = directory / MANIFEST_FILE
    manifest = read_manifest(directory)
    what = mistyped(manifest)
    if what:
        raise ManifestError(f"{where} must have the format's types, got {what}; {REMAKE_MANIFEST}")
    try:
        config = check_config(dict(manifest.config), f"{where} config", PrepareConfig)
    except ConfigError as error:
        raise ManifestError(f"{error}; {REMAKE_MANIFEST}") from None
    what = unusable_numerics(config, manifest.numerics)
    if what:
        raise ManifestError(f"{where} {what}; {REMAKE_MANIFEST}")
    return Description(manifest, config)


def model_names(annotator: AnnotatorConfig) -> list[str]:
    """Name an annotator's networks, sorted, without looking for their files: whoever has none can verify all the same.

    The files of the latents' VAE are found where its settings are asked for them.
    """
    if isinstance(annotator, LatentsConfig):
        return [VAE]
    return sorted(name for name, _ in annotator.models)


def unusable_numerics(config: PrepareConfig, numerics: Numerics) -> str:
    """Say why numerics cannot be those of a data set; empty if they can."""
    for name, number in (("threads_per_worker", numerics.threads_per_worker), ("batch_size", numerics.batch_size)):
        if not 1 <= number <= MOST_THREADS_OR_IMAGES:
            return f"numerics.{name} must be 1 to {MOST_THREADS_OR_IMAGES}, got {number}"
    expected = {each.condition.value: DTYPES if model_names(each) else NO_DTYPE for each in config.annotators}
    if numerics.dtypes.keys() != expected.keys():
        return f"numerics.dtypes must name {', '.join(expected)}, got {', '.join(numerics.dtypes) or 'none'}"
    for condition, dtype in numerics.dtypes.items():
        if dtype not in expected[condition]:
            return f"numerics.dtypes.{condition} must be {' or '.join(expected[condition])}, got {dtype!r}"
    return ""


def check_description(about: Description, base: Description | None) -> Iterator[Problem]:
    """Yield whether dataset.json is of something complete, and its first value that does not follow from the others.

    A layer is held against the data set below it, `base`.
    """
    if not about.manifest.complete:
        yield Problem("", "", "dataset.json must be of a complete data set, got one still being made; prepare again")
    for name, expected, got in _derived_values(about.manifest, about.config, base):
        if expected != got:
            yield Problem("", "", f"dataset.json {name} must be {expected!r}, got {got!r}; {REMAKE_MANIFEST}")
            return


def _derived_values(
    manifest: Manifest, config: PrepareConfig, base: Description | None
) -> Iterator[tuple[str, object, object]]:
    """Yield each value's name, what it should be and what it is; what others follow from comes before them."""
    yield "name", config.name, manifest.name
    yield "split", config.source.split, manifest.split
    yield "source", SourceFacts(config.source.kind, config.source.split), manifest.source
    yield "image", ImageFacts(config.image.format, (config.image.size_pixels,)), manifest.image
    yield "samples_per_shard", config.samples_per_shard, manifest.samples_per_shard
    yield "marks", marks(config), manifest.marks
    expected = [(each.spec, each.kind, model_names(each)) for each in config.annotators]
    yield "conditions", expected, [_made_by(entry) for entry in manifest.conditions]
    if base:
        yield "labels", base.manifest.labels, manifest.labels
        below, here = _image_inputs(base.config), _image_inputs(config)
        yield from ((f"config {name}", value, here.get(name)) for name, value in below.items())
    inputs = _inputs(manifest, config, base)
    for name in sorted(inputs.keys() | manifest.inputs.keys()):
        yield f"inputs {name}", inputs.get(name), manifest.inputs.get(name)
    yield "fingerprint", fingerprint(manifest.inputs), manifest.fingerprint


def _made_by(entry: ConditionEntry) -> tuple[ConditionSpec, str, list[str]]:
    return entry.spec, entry.annotator, sorted(model.name for model in entry.models)


def _image_inputs(config: PrepareConfig) -> Inputs:
    """What the stored images are made from: the same in a layer as in the data set below it."""
    inputs = dataset_inputs(config, "", {})
    return {name: value for name, value in inputs.items() if not name.startswith("annotators.")}


def _inputs(manifest: Manifest, config: PrepareConfig, base: Description | None) -> Inputs:
    """What the inputs should be, by the config and the recorded index, weights and versions of the algorithms."""
    sha256 = {model.name: model.sha256 for entry in manifest.conditions for model in entry.models}
    if base:
        inputs = layer_inputs(config, base.manifest.fingerprint, sha256)
    else:
        inputs = dataset_inputs(config, str(manifest.inputs.get("index")), sha256)
    versions: Inputs = {
        f"annotators.{position}.algorithm_version": entry.algorithm_version
        for position, entry in enumerate(manifest.conditions)
    }
    return inputs | versions


def check_index(directory: Directory, manifest: Manifest) -> tuple[Index | None, list[Problem]]:
    """Compare the index with dataset.json; returns it, or None if it is not the one that the shards were made from.

    Raises ManifestError if it cannot be read.
    """
    index = open_index(directory)
    what = mistyped(index)
    if what:
        raise ManifestError(f"{directory / INDEX_FILE} must have the format's types, got {what}; restore it")
    recorded = manifest.inputs.get("index")
    if recorded != index.digest:
        what = f"{INDEX_FILE} must have digest {recorded}, got {index.digest}; restore it: nothing was compared with it"
        return None, [Problem("", "", what)]
    problems = []
    for part in index.parts:
        there = part_sha256(directory, part)
        if there != part.sha256:
            must = f"{PARTS}/{part.file} must have sha256 {part.sha256}"
            what = f"{must}, got {there or 'no file'}; restore it: nothing was compared with it"
            return None, [Problem("", "", what)]
    problems = list(_repeated_keys(directory, index, manifest.samples_per_shard))
    if manifest.dropped != index.dropped:
        expected, dropped = dict(index.dropped), dict(manifest.dropped)
        what = f"dataset.json dropped must be the index's {expected}, got {dropped}; {REMAKE_MANIFEST}"
        problems.append(Problem("", "", what))
    return index, problems


def read_index_rows(directory: Directory, index: Index, plan: ShardPlan) -> list[IndexRow]:
    """Read the rows of a plan; ManifestError if they cannot be read."""
    try:
        return read_rows(directory, index, plan.start, plan.stop)
    except UNREADABLE as error:
        raise _unreadable(directory, error) from None


def _repeated_keys(directory: Directory, index: Index, samples_per_shard: int) -> Iterator[Problem]:
    """Yield each key that two candidates of the index share: readers would take their samples for one."""
    seen = IdentitySet()
    row = 0
    try:
        with IndexReader(directory, index) as reader:
            for table in reader.tables(["key", "rejected_reason"]):
                keys = table.column("key").cast(pa.string()).fill_null("").combine_chunks()
                candidates = np.flatnonzero(pc.equal(table.column("rejected_reason"), "").fill_null(False))
                again = seen.add(key_identities(keys.take(pa.array(candidates))))
                for position in candidates[again].tolist():
                    what = f"the index must have the key once, got it again in row {row + position}"
                    shard = ShardPlan((row + position) // samples_per_shard, row, row + 1).name
                    yield Problem(shard, keys[position].as_py(), f"{what}; prepare into another directory")
                row += table.num_rows
    except UNREADABLE as error:
        raise _unreadable(directory, error) from None


def _unreadable(directory: Directory, error: Exception) -> ManifestError:
    said = " ".join(str(error).split())
    return ManifestError(f"{directory / PARTS} must be parquet, got {type(error).__name__}: {said}; restore it")
