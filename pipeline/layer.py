"""Layers: conditions added to a data set that is complete already, without touching or fetching its images again.

    DATASET/shards/0000000.tar ──stored images──> annotators ──> DATASET/layers/<name>/shards/0000000.tar

A layer is made, resumed and described like a data set, with its own fingerprint; each of its records is bound to the
base record by its sha256, and its samples have the base's keys. The base's card then lists it.
"""

import json

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.fingerprint import layer_inputs
from pipeline.dataset.index import open_index
from pipeline.dataset.manifest import LAYERS, MANIFEST_FILE, SHARDS_FILE, Manifest, load_dataset
from pipeline.dataset.plan import ShardPlan, plan_shards
from pipeline.dataset.storage import Directory
from pipeline.environment import Environment
from pipeline.execution.origins import FromDataset
from pipeline.publish.card import CARD_FILE, lists_layer
from pipeline.run import Job, Summary, describe_conditions, describe_dataset, resolve_models, run_job
from pipeline.writers.lease import refuse_if_written
from stages.errors import ConfigError, ManifestError
from stages.settings import changed


def prepare_layer(
    config: PrepareConfig,
    base: Directory,
    environment: Environment,
) -> tuple[Directory, Summary]:
    """Compute the annotators of `config` on the stored images of `base`, or go on with it.

    Returns the layer's directory, named for its conditions (layers/depth, layers/depth-canny), and the summary. Raises
    ManifestError if the data set below is not complete, DirectoryInUse if a run writes to it, ConfigError if there is
    no condition or the data set has one of them already, and what `pipeline.run.prepare` raises.
    """
    manifest = load_dataset(base)
    refuse_if_written(base)
    conditions = [annotator.condition.value for annotator in config.annotators]
    if not conditions:
        raise ConfigError(f"annotators must name a condition to add to {base}, got none; give an [[annotators]] table")
    there = {entry.name for entry in manifest.conditions} & set(conditions)
    if there:
        raise ConfigError(
            f"annotators must add conditions that {base} does not have, got {', '.join(sorted(there))}; leave "
            "out what it has"
        )
    layer_config = changed(
        base_config(base, manifest),
        name=config.name,
        annotators=config.annotators,
        execution=config.execution,
        max_rejected_fraction=config.max_rejected_fraction,
    )
    found = resolve_models(layer_config, environment.weights)
    if not manifest.totals.samples:
        raise ConfigError(f"{base} must have samples to annotate, got none; look at its rejected.jsonl")
    layer_name = "-".join(conditions)
    layer = base / LAYERS / layer_name
    environment.say(f"taking the images of {base}; [source] and [image] of the configuration are not used")
    job = Job(
        directory=layer,
        config=layer_config,
        inputs=layer_inputs(layer_config, manifest.fingerprint, {name: file.sha256 for name, file in found.items()}),
        origin=FromDataset(base, layer_config, open_index(base)),
        plans=layer_plans(base, manifest, layer_config.samples_per_shard),
        samples=manifest.totals.samples,
        conditions=describe_conditions(layer_config, found),
        labels=manifest.labels,
    )
    summary = run_job(job, environment, lambda finished: None)
    if summary.shards_made or not (base.exists(CARD_FILE) and lists_layer(base.read(CARD_FILE), layer_name)):
        describe_dataset(base, manifest)
    return layer, summary


def base_config(base: Directory, manifest: Manifest) -> PrepareConfig:
    """The configuration that a data set was made with."""
    return check_config(dict(manifest.config), f"{base / MANIFEST_FILE} config", PrepareConfig)


def layer_plans(base: Directory, manifest: Manifest, samples_per_shard: int) -> list[ShardPlan]:
    """One plan for each shard of the base that has samples."""
    try:
        lines = [json.loads(line) for line in base.read(SHARDS_FILE).splitlines()]
        filled = {line["name"] for line in lines if line["samples"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{base / SHARDS_FILE} must list the shards, got {type(error).__name__}; run `condset prepare` again: "
            "it writes the file anew"
        ) from error
    return [plan for plan in plan_shards(manifest.totals.rows, samples_per_shard) if plan.name in filled]
