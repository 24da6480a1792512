"""Running what was planned: the loop of `prepare`, in this process, with samples that come whole."""

from collections.abc import Callable
from contextlib import closing
from functools import partial

from pipeline.dataset.reader import Dataset
from pipeline.dataset.storage import Directory
from pipeline.derive.choice import Choice
from pipeline.derive.select import plan_layer, plan_selection
from pipeline.execution.inline import InlineExecutor
from pipeline.run import Job, Summary, describe_dataset, run_job
from stages.weights.store import WeightsStore


def select(
    dataset: Dataset, choice: Choice, out: Directory, weights: WeightsStore, say: Callable[[str], None]
) -> Summary:
    """Make a data set of some samples, then its layers; raises what `plan_selection` and `prepare` raise."""
    job = plan_selection(dataset, choice, out)
    summary = derive(job, weights, say)
    for layer in dataset.layers:
        with closing(InlineExecutor()) as executor:
            run_job(plan_layer(dataset, layer, out, job), executor, weights, say, lambda finished: None)
    if dataset.layers:
        describe_dataset(out, summary.manifest)
    return summary


def derive(job: Job, weights: WeightsStore, say: Callable[[str], None]) -> Summary:
    """Make a data set of another one, or go on with it; raises what `pipeline.run.prepare` raises."""
    with closing(InlineExecutor()) as executor:
        return run_job(job, executor, weights, say, partial(describe_dataset, job.directory))
