"""`condset prepare --retry-rejected`: fetch rejected samples again and put those that can be had now into their shards.

    0000000.json ──samples────────────────────────────────────┐
         └──rejected for one of the reasons──load, annotate──┴──> 0000000.r1.tar ──> 0000000.json ──> 0000000.tar goes

The invariant: a sample that has been committed is never lost. It is copied from the former tar byte for byte, the
record changes from the one tar to the other in one step, and only then the former tar goes.
"""

import json
import threading
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from pipeline.config import PrepareConfig
from pipeline.dataset.index import open_index, read_rows
from pipeline.dataset.manifest import LAYERS, REJECTED_FILE, layer_names
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import SampleEntry, outcomes_of, read_record
from pipeline.dataset.shards import Replacement, last_retry, retried_tar
from pipeline.dataset.storage import Directory
from pipeline.environment import Environment
from pipeline.execution.origins import FromIndex, LoadedShard, loading_of
from pipeline.run import Summary, describe_dataset, plan_dataset, run_job
from pipeline.writers.lease import writing
from stages.errors import ConfigError
from stages.load import load_samples
from stages.records import AnnotatedSample, EncodedSample, IndexRow, Reason, Rejection, StoredSample

RETRIED = tuple(reason for reason in Reason if reason is not Reason.REMOVED)
"""What was taken down is never fetched again."""


@dataclass(frozen=True, slots=True)
class FromRejected:
    """Committed shards: what is there is kept, and what was rejected for one of the reasons is loaded again."""

    first: FromIndex
    """Where the samples came from the first time."""
    reasons: frozenset[Reason]
    retry: int
    """Its number, by which the new tars are named."""

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Load the rows of a plan that are to be had again; a shard that this retry has made already is left as it is.

        Samples that are lost once more are no outage: they are accounted for already, and their new reason is kept.
        """
        directory, config = self.first.directory, self.first.config
        record = read_record(directory, plan.name)
        rows = read_rows(directory, self.first.index, plan.start, plan.stop)
        replacement = Replacement(record, retried_tar(plan.name, self.retry))
        outcomes: list[StoredSample | SampleEntry | Rejection] = [*outcomes_of(record, rows)]
        again = [n for n, row in enumerate(rows) if self._is_wanted(row, outcomes[n]) and record.tar != replacement.tar]
        loaded = load_samples([rows[n] for n in again], loading_of(config), stop)
        for n, outcome in zip(again, loaded, strict=True):
            outcomes[n] = outcome
        return LoadedShard(plan, tuple(outcomes), replacement=replacement)

    def _is_wanted(self, row: IndexRow, outcome: StoredSample | SampleEntry | Rejection) -> bool:
        """Whether a row was rejected for one of the reasons, and by more than its line in the index."""
        return isinstance(outcome, Rejection) and outcome.reason in self.reasons and row.rejection is None

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        return self.first.encode(sample)


def retry_rejected(
    config: PrepareConfig,
    directory: Directory,
    environment: Environment,
    reasons: frozenset[Reason],
) -> Summary:
    """Make the data set of `config` complete, then load again what was rejected for one of `reasons`.

    Shards without such a rejection are not touched. Settings that are no part of the fingerprint, [fetch] among them,
    may be others than the first time. Raises ConfigError if the data set has layers, since they are bound to the
    records that would change, and what `pipeline.run.prepare` raises.
    """
    layers = layer_names(directory)
    if layers:
        raise ConfigError(
            f"{directory} must have no layers to be changed by --retry-rejected, got {', '.join(layers)}; "
            f"remove {LAYERS}/, retry, and add them again with --onto"
        )
    with closing(environment.executor):
        job = plan_dataset(config, directory, environment)
        describe = partial(describe_dataset, directory)
        with writing(directory, environment.say, environment.take_over):
            summary = run_job(job, environment, describe)
            again = tuple(job.plans[number] for number in _shards_with(directory, reasons))
            if not again:
                environment.say(f"no sample was rejected as {', '.join(sorted(reasons))}: nothing to retry")
                return summary
            retry = 1 + last_retry(directory)
            origin = FromRejected(FromIndex(directory, config, open_index(directory)), reasons, retry)
            return run_job(replace(job, origin=origin, again=again), environment, describe)


def parse_reasons(text: str) -> frozenset[Reason]:
    """Read "timeout,http_5xx"; ConfigError naming what is no reason."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in RETRIED:
            raise ConfigError(
                f"--retry-rejected must be reasons separated by commas, got {name!r}; choose from {', '.join(RETRIED)}"
            )
    return frozenset(Reason(name) for name in names)


def _shards_with(directory: Directory, reasons: frozenset[Reason]) -> list[int]:
    """The numbers of the shards that have rejected something for one of the reasons, in order."""
    with directory.open(REJECTED_FILE) as file:
        lines = (json.loads(line) for line in file)
        return sorted({int(line["shard"]) for line in lines if line["reason"] in reasons})
