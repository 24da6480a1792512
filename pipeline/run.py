"""One run of `condset prepare`: from a configuration to a complete data set, or on from wherever the last run got.

weights ──> index (trusted if there) ──> fingerprint (refused if another's)
        ──> plans - committed ──> executor ──> records ──> manifest, card
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from pipeline.config import PrepareConfig, refuse_missing_keypoints
from pipeline.dataset.conditions import ConditionEntry, describe_condition
from pipeline.dataset.fingerprint import Inputs, dataset_inputs, fingerprint, listing_inputs, refuse_other
from pipeline.dataset.index import INDEX_FILE, PARTS, Index, open_index
from pipeline.dataset.ledger import commit_check, committed_names, has_partials, make_folders, missing, remove_partials
from pipeline.dataset.listing import write_index
from pipeline.dataset.manifest import (
    FORMER_INDEX,
    MANIFEST_FILE,
    Manifest,
    Totals,
    describe,
    publish_manifest,
    read_manifest,
    refuse_other_sizes,
    summarise,
    write_manifest,
)
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan, plan_shards
from pipeline.dataset.record import RECORDS, SHARDS, ShardRecord, read_record, record_file
from pipeline.dataset.shards import replaced_tars
from pipeline.dataset.storage import Directory
from pipeline.environment import Environment
from pipeline.execution.drive import drive
from pipeline.execution.origins import FromIndex, Origin
from pipeline.execution.worker import Work
from pipeline.publish.card import CARD_FILE, render_card
from pipeline.writers.lease import Lease, clear_ended, writing
from stages.errors import ShardConflict
from stages.locations import PARTIAL, is_hidden
from stages.web.config import proxy_note
from stages.weights.store import WeightsFile, WeightsStore


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    manifest: Manifest
    shards_made: int
    """0 if the data set was complete already."""
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Job:
    """One directory of shards to be made: a data set, or a layer of one."""

    directory: Directory
    config: PrepareConfig
    inputs: Inputs
    origin: Origin
    plans: list[ShardPlan]
    samples: int
    """How many samples and rejections the shards account for, together."""
    conditions: tuple[ConditionEntry, ...]
    """As dataset.json describes them."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Of the source's rows, by the filter that dropped them."""
    again: tuple[ShardPlan, ...] = ()
    """Committed shards that are made all the same."""
    labels: Mapping[str, str] | None = None
    """Category id, in decimal, to name; None asks the source."""
    copied_under: Numerics | None = None
    """Those of the samples, if they come whole from another data set: nothing is annotated then."""


def prepare(
    config: PrepareConfig,
    directory: Directory,
    environment: Environment,
) -> Summary:
    """Make the data set of `config` in `directory`, or go on with it.

    Raises WeightsError before the first sample, ShardConflict if the directory holds another data set, DirectoryInUse
    if another run writes to it, and whatever CondsetError a worker met; committed shards stay, the next run goes on.
    """
    with closing(environment.executor):
        job = plan_dataset(config, directory, environment)
        return run_job(job, environment, partial(describe_dataset, directory))


def plan_dataset(config: PrepareConfig, directory: Directory, environment: Environment) -> Job:
    """Find the weights, write the index unless it is there, and plan the shards; raises what `prepare` raises.

    The executor may be left with workers, which the caller ends.
    """
    found, listed_by = resolve_models(config, environment.weights), fingerprint(listing_inputs(config))
    claim(directory)
    if not directory.exists(INDEX_FILE):
        with writing(directory, environment.say, environment.take_over):
            _list(config, directory, environment, listed_by)
    index = open_index(directory)
    _refuse_foreign_index(directory, index, listed_by)
    return Job(
        directory=directory,
        config=config,
        inputs=dataset_inputs(config, index.digest, {name: file.sha256 for name, file in found.items()}),
        origin=FromIndex(directory, config, index),
        plans=plan_shards(index.rows, config.samples_per_shard),
        samples=index.rows,
        conditions=describe_conditions(config, found),
        dropped=index.dropped,
    )


def _list(config: PrepareConfig, directory: Directory, environment: Environment, listed_by: str) -> None:
    """Write the index, unless the run whose lease was just ended or taken over has done so."""
    remove_partials(directory)
    if directory.exists(INDEX_FILE):
        return
    # What the machine or the cluster lacks is said before hours of listing, not after.
    environment.executor.numerics(config)
    refuse_missing_keypoints(config)
    if note := proxy_note(config.fetch, config.source.kind in ("laion", "huggingface")):
        environment.say(note)
    environment.say(f"listing {config.source.kind} {config.source.base_uri}".rstrip())
    environment.say(_describe_index(write_index(directory, config.source, config.limit, listed_by)))


def _describe_index(index: Index) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in index.dropped.items() if count)
    return f"{index.rows} candidates{f'; dropped: {dropped}' if dropped else ''}"


def describe_dataset(directory: Directory, finished: Manifest) -> None:
    """Write the data card."""
    directory.write(CARD_FILE, render_card(directory, finished).encode())


def resolve_models(config: PrepareConfig, weights: WeightsStore) -> dict[str, WeightsFile]:
    """Find and check every file of weights that the annotators will load; WeightsError if one is missing."""
    return {name: weights.resolve(name, own) for annotator in config.annotators for name, own in annotator.models}


def describe_conditions(config: PrepareConfig, found: Mapping[str, WeightsFile]) -> tuple[ConditionEntry, ...]:
    """Describe what the annotators make with these weights."""
    return tuple(describe_condition(annotator, found) for annotator in config.annotators)


def run_job(job: Job, environment: Environment, describe: Callable[[Manifest], None]) -> Summary:
    """Make the shards of a job that are not committed yet; `describe` what is complete, then say so in dataset.json.

    A directory that is complete is only looked at. Raises DirectoryInUse if another run writes to it.
    """
    known = _known(job)
    if known and known.complete and not (job.again or missing(job.plans, job.directory)):
        refuse_other_sizes(job.directory, known)
        clear_ended(job.directory)  # it was killed between its last file and its end
        if has_partials(job.directory):
            with writing(job.directory, environment.say, environment.take_over):
                remove_partials(job.directory)
        return Summary(known, 0, 0.0)
    with writing(job.directory, environment.say, environment.take_over) as lease:
        return _make(job, environment, describe, lease)


def _known(job: Job) -> Manifest | None:
    """Read what dataset.json says of the directory; ShardConflict if the job is another one's."""
    if not job.directory.exists(MANIFEST_FILE):
        _refuse_foreign_shards(job)
        return None
    known = read_manifest(job.directory)
    refuse_other(str(job.directory), known.inputs, job.inputs)
    return known


def _make(job: Job, environment: Environment, describe: Callable[[Manifest], None], lease: Lease) -> Summary:
    directory, executor = job.directory, environment.executor
    remove_partials(directory)
    is_known = _known(job) is not None  # what was there before the lease may be more by now
    todo = [*missing(job.plans, directory), *job.again]
    try:
        numerics = job.copied_under or (
            executor.numerics(job.config) if todo else read_record(directory, job.plans[0].name).numerics
        )
        manifest = _manifest(job, numerics)
        make_folders(directory)
        lease.check()
        (write_manifest if is_known else publish_manifest)(directory, manifest)
        annotators = () if job.copied_under else job.config.annotators
        work = Work(directory, job.origin, annotators, manifest.fingerprint, numerics, environment.weights)
        images_per_second = drive(executor, len(job.plans), todo, work, environment.say)
    finally:
        executor.close()
        if lease.is_held():
            remove_partials(directory)
    lease.check()
    for name in replaced_tars(directory):
        directory.remove(f"{SHARDS}/{name}")
    finished = seal(directory, manifest, describe, commit_check(directory, manifest.fingerprint))
    return Summary(finished, len(todo), images_per_second)


def seal(
    directory: Directory,
    manifest: Manifest,
    describe: Callable[[Manifest], None],
    check: Callable[[ShardRecord], None] = lambda record: None,
) -> Manifest:
    """Write what follows from the records, `describe` what is complete, then say so in dataset.json.

    Raises ManifestError if the records do not account for every row of the index, and what `check` raises of one.
    """
    finished = summarise(directory, manifest, check)
    describe(finished)
    write_manifest(directory, finished)
    return finished


def claim(directory: Directory) -> None:
    """Make a directory for a data set, or take one of ours; ShardConflict if there are foreign files in it."""
    names = [name for name in directory.names() if not is_hidden(name)]
    ours = {INDEX_FILE, PARTS, MANIFEST_FILE, SHARDS, RECORDS, FORMER_INDEX}
    if names and not ours & set(names) and not all(name.endswith(PARTIAL) for name in names):
        raise ShardConflict(
            f"{directory} must be a new directory or one of condset's, got one with {sorted(names)[0]}; "
            "give another --out"
        )
    if {MANIFEST_FILE, FORMER_INDEX} & set(names):
        read_manifest(directory)  # what another format has made is refused before anything is listed
    directory.make()


def _refuse_foreign_index(directory: Directory, index: Index, listed_by: str) -> None:
    """Refuse the index of a run that ended before dataset.json told of what; with one, all settings are compared."""
    if index.listed_by not in ("", listed_by) and not directory.exists(MANIFEST_FILE):
        raise ShardConflict(
            f"{directory / INDEX_FILE} must be of this source and limit, got {index.rows} rows of others; remove it "
            f"and {PARTS}/ to list again, or give another --out"
        )


def _refuse_foreign_shards(job: Job) -> None:
    """Refuse shards of another configuration, of which no dataset.json tells any more."""
    directory, plans = job.directory, {plan.name: plan for plan in job.plans}
    for name in committed_names(directory)[:1]:
        if name not in plans or read_record(directory, name).plan != plans[name].digest(fingerprint(job.inputs)):
            raise ShardConflict(
                f"{directory / record_file(name)} must be the record of a shard of this configuration, got one of "
                f"another and no {MANIFEST_FILE}; give another --out, or remove the directory"
            )


def _manifest(job: Job, numerics: Numerics) -> Manifest:
    labels = job.labels
    if labels is None:
        labels = {str(number): name for number, name in job.config.source.labels.items()}
    totals = Totals(job.samples, len(job.plans))
    return describe(job.config, job.inputs, job.conditions, labels, numerics, totals, job.dropped)
