"""`condset verify`: is this data set, with its layers, what it says it is?

    dataset.json, index ──────────> plans ──> each shard: record, tar, samples ──(--deep)──> conditions, computed again
    records ──> shards.jsonl, rejected.jsonl, totals, README.md as they should be

Nothing is repaired and no defect raises: each one is a `Problem` that names the layer, the shard and the key. One
defect is one problem as far as that can be told: what follows from shards is compared only where they are sound, and
what is wrong with a run of shards as a whole is said once.
"""

import contextlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline.dataset.index import INDEX_FILE, PARTS
from pipeline.dataset.keys import KEYS_FILE
from pipeline.dataset.manifest import LAYERS, MANIFEST_FILE, REJECTED_FILE, SHARDS_FILE, layer_names, refuse_layer
from pipeline.dataset.plan import ShardPlan, plan_shards
from pipeline.dataset.storage import Directory
from pipeline.publish.card import CARD_FILE
from pipeline.verify.deep import DeepCheck
from pipeline.verify.derived import DerivedCheck
from pipeline.verify.manifest import Description, check_description, check_index, read_description
from pipeline.verify.names import check_names, check_parts
from pipeline.verify.problem import Problem, folded
from pipeline.verify.sample import SampleCheck
from pipeline.verify.shard import ShardCheck, ShardFinding
from stages.ahead import in_order
from stages.errors import ManifestError
from stages.hardware.cores import usable_cores
from stages.hardware.precision import resolve_device
from stages.hardware.process import configured_process
from stages.weights.store import WeightsStore

LAYER_FILES = (MANIFEST_FILE, SHARDS_FILE, REJECTED_FILE, KEYS_FILE)
DATASET_FILES = (*LAYER_FILES, CARD_FILE, INDEX_FILE, PARTS)
MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found."""

    shards: int
    """Shards with a record of this data set, without those of its layers."""
    samples: int
    """In those shards, by their records."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Walk:
    """What came of checking the shards of a data set or of a layer."""

    problems: tuple[Problem, ...]
    shards: int
    samples: int
    sound: tuple[ShardPlan, ...]
    """The plans of the shards that have samples and no problem: a layer can be checked against these."""
    unsound: tuple[ShardPlan, ...]
    """The plans of the shards with a problem."""


def verify(
    directory: Directory,
    deep: bool,
    weights: WeightsStore,
    device: str,
    progress: Callable[[int], None] = lambda rows: None,
) -> VerifyReport:
    """Check every file, hash, count and member of a data set and its layers; with `deep`, compute each condition again.

    `progress` is told of rows as they are checked, from several threads; `rows_to_check` is their sum. Raises
    ManifestError if dataset.json or the index cannot be used at all; StorageError if the storage fails, which is no
    problem of the data; and with `deep` WeightsError if weights are missing or not those that the data set was made
    with, ConfigError if the device lacks a recorded dtype, SourceError if the storage of label maps fails. Whatever
    else is wrong is in the report.
    """
    about = read_description(directory)
    refuse_layer(directory, about.manifest)
    index, index_problems = check_index(directory, about.manifest)
    of_whole = [*check_description(about, base=None), *index_problems]
    plans = plan_shards(index.rows if index else about.manifest.totals.rows, about.config.samples_per_shard)
    problems = [*of_whole, *check_names(directory, DATASET_FILES, plans, about.manifest.complete)]
    problems += check_parts(directory, index) if index else ()
    with configured_process(resolve_device(device), usable_cores()) if deep else contextlib.nullcontext():
        check = ShardCheck(
            home=directory,
            config=about.config,
            fingerprints=about.fingerprints,
            index=index,
            indexed=directory,
            base=None,
            sample=SampleCheck(about.config, about.labels, is_layer=False),
            deep=DeepCheck(about.config, about.manifest, weights, device) if deep else None,
            progress=progress,
        )
        walk = _walk(directory, about, check, plans, is_known=not of_whole)
        problems += walk.problems
        for name in layer_names(directory):
            found = _verify_layer(directory / LAYERS / name, about, check, walk, weights, device)
            problems += (replace(problem, layer=name) for problem in found)
    return VerifyReport(walk.shards, walk.samples, tuple(problems))


def rows_to_check(directory: Directory) -> int:
    """How many rows `verify` tells `progress` of, if all is well. Raises ManifestError if dataset.json is unusable."""
    rows = read_description(directory).manifest.totals.rows
    for name in layer_names(directory):
        with contextlib.suppress(ManifestError):  # which `verify` reports
            rows += read_description(directory / LAYERS / name).manifest.totals.rows
    return rows


def _verify_layer(
    layer: Directory,
    base: Description,
    base_check: ShardCheck,
    base_walk: _Walk,
    weights: WeightsStore,
    device: str,
) -> list[Problem]:
    """Check a layer, and its shards where those below are sound."""
    try:
        about = read_description(layer)
    except ManifestError as error:
        return [Problem("", "", str(error))]
    of_whole = list(check_description(about, base))
    plans = (*base_walk.sound, *base_walk.unsound)
    of_names = check_names(layer, LAYER_FILES, plans, about.manifest.complete)
    check = replace(
        base_check,
        home=layer,
        config=about.config,
        fingerprints=about.fingerprints,
        base=base_check.home,
        sample=SampleCheck(about.config, about.labels, is_layer=True),
        deep=DeepCheck(about.config, about.manifest, weights, device) if base_check.deep else None,
    )
    walk = _walk(layer, about, check, base_walk.sound, is_known=not (of_whole or base_walk.unsound))
    return [*of_whole, *of_names, *walk.problems]


def _walk(
    directory: Directory, about: Description, check: ShardCheck, plans: Sequence[ShardPlan], is_known: bool
) -> _Walk:
    """Check shards and, if they are sound and it is known that these are all, what follows from them."""
    problems: list[Problem] = []
    sound: list[ShardPlan] = []
    unsound: list[ShardPlan] = []
    shards = samples = 0
    threads = min(MOST_THREADS, check.deep.threads if check.deep else usable_cores())
    with contextlib.ExitStack() as stack:
        derived = DerivedCheck(directory, stack)
        findings = stack.enter_context(contextlib.closing(_findings(check, plans, threads)))
        for plan, finding in zip(plans, findings, strict=True):
            problems += finding.problems
            if finding.record:
                shards += 1
                samples += len(finding.record.samples)
                derived.follow(finding.record)
            if finding.problems:
                unsound.append(plan)
            elif finding.record and finding.record.samples:
                sound.append(plan)
        problems = folded(problems)
        if is_known and not unsound:
            problems += derived.problems(about.manifest)
    if check.deep:
        problems += (Problem("", "", what) for what in check.deep.not_compared())
    return _Walk(tuple(problems), shards, samples, tuple(sound), tuple(unsound))


def _findings(check: ShardCheck, plans: Sequence[ShardPlan], threads: int) -> Generator[ShardFinding, None, None]:
    """Check shards beside each other, with findings in the order of the plans; with 0 threads, in this one.

    Hashing and decoding run without the interpreter's lock. Only a few shards are ahead of the one waited for.
    """
    if threads == 0:
        yield from map(check, plans)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        yield from in_order(lambda plan: pool.submit(check, plan), plans, 2 * threads)
