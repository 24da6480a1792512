"""dataset.json of the present format, from the one of format 1: all of it follows from the configuration.

    config ──checked as today──> inputs ──> fingerprint         each annotator's spec ──> conditions

What cannot be known from the configuration is taken over: versions of the algorithms, hashes of the weights, labels,
numerics.
"""

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.conditions import ConditionEntry, Provenance
from pipeline.dataset.fingerprint import Inputs, dataset_inputs, differences, layer_inputs
from pipeline.dataset.index import Index
from pipeline.dataset.manifest import MANIFEST_FILE, Manifest, Totals, describe
from pipeline.dataset.storage import Directory
from pipeline.upgrade.former import FormerManifest
from stages.errors import ManifestError

OF_FORMAT = {"format", "index", "index.sha256", "base"}
"""The inputs whose values are others in each format."""
DISTRIBUTION = "condset"
"""Whose annotators format 1 knew: there were no others."""


def config_of(home: Directory, former: FormerManifest) -> PrepareConfig:
    """The configuration that a data set or a layer was made with; ConfigError if it is none any more."""
    return check_config(dict(former.config), f"{home / MANIFEST_FILE} config", PrepareConfig)


def describe_base(home: Directory, former: FormerManifest, index: Index) -> Manifest:
    """Describe a data set, not complete yet; ManifestError if its inputs did not follow from its configuration."""
    config = config_of(home, former)
    return _describe(home, former, config, dataset_inputs(config, index.digest, _weights(former)))


def describe_layer(home: Directory, former: FormerManifest, base_fingerprint: str) -> Manifest:
    """Describe a layer of the data set with this fingerprint, as `describe_base` does."""
    config = config_of(home, former)
    return _describe(home, former, config, layer_inputs(config, base_fingerprint, _weights(former)))


def _weights(former: FormerManifest) -> dict[str, str]:
    return {model.name: model.sha256 for condition in former.conditions for model in condition.models}


def _describe(home: Directory, former: FormerManifest, config: PrepareConfig, inputs: Inputs) -> Manifest:
    inputs |= {
        f"annotators.{position}.algorithm_version": condition.algorithm_version
        for position, condition in enumerate(former.conditions)
    }
    compared = former.inputs.keys() & inputs.keys() - OF_FORMAT
    there, here = ({name: each[name] for name in compared} for each in (former.inputs, inputs))
    if there != here:
        raise ManifestError(
            f"{home / MANIFEST_FILE} inputs must follow from its config, got {differences(there, here)}; restore it"
        )
    if len(former.conditions) != len(config.annotators):
        raise ManifestError(
            f"{home / MANIFEST_FILE} conditions must be {len(config.annotators)}, those of its config, got "
            f"{len(former.conditions)}; restore it"
        )
    provenance = Provenance(DISTRIBUTION, former.numerics.versions.get(DISTRIBUTION, ""))
    conditions = tuple(
        ConditionEntry(annotator.spec, annotator.kind, condition.algorithm_version, condition.models, provenance)
        for annotator, condition in zip(config.annotators, former.conditions, strict=True)
    )
    totals = Totals(former.totals.rows, former.totals.shards)
    return describe(config, inputs, conditions, former.labels, former.numerics, totals, former.dropped)
