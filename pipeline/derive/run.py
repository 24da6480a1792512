"""Running what was planned: the loop of `prepare` with samples that come whole. Nothing is computed."""

from functools import partial

from pipeline.dataset.reader import Dataset
from pipeline.dataset.storage import Directory
from pipeline.derive.choice import Choice
from pipeline.derive.select import plan_layer, plan_selection
from pipeline.environment import Environment
from pipeline.run import Job, Summary, describe_dataset, run_job


def select(
    dataset: Dataset, choice: Choice, out: Directory, environment: Environment, repeated: frozenset[str] = frozenset()
) -> Summary:
    """Make a data set of some samples, then its layers; raises what `plan_selection` and `prepare` raise.

    Of the chosen samples those that are `repeated` are left out.
    """
    job = plan_selection(dataset, choice, repeated, out, environment)
    summary = derive(job, environment)
    for layer in dataset.layers:
        run_job(plan_layer(dataset, layer, out, job), environment, lambda finished: None)
    if dataset.layers:
        describe_dataset(out, summary.manifest)
    return summary


def derive(job: Job, environment: Environment) -> Summary:
    """Make a data set of another one, or go on with it; raises what `pipeline.run.prepare` raises."""
    return run_job(job, environment, partial(describe_dataset, job.directory))
