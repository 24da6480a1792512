"""Evaluations in parts: what an interruption leaves, what other workers draw, several pictures of a caption."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.config import ExecutionConfig
from pipeline.dataset.record import read_record
from pipeline.dataset.storage import Directory
from pipeline.execution.ray import RayExecutor
from stages.image.decode import decode_stored
from stages.records import Condition
from tests.train.fidelity.evaluations import (
    INLINE,
    Listener,
    StopsAfter,
    large_scenes,
    picture,
    pictures_of,
    run_job,
    times,
    tree,
)
from tests.train.tiny_runs import write_tiny_run
from train.data.training_set import TrainingSet
from train.fidelity.evaluate import Evaluated, EvaluationJob
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion


@pytest.fixture(scope="module")
def long_job(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> EvaluationJob:
    """Ten samples in two shards of pictures."""
    folder = tmp_path_factory.mktemp("long")
    write_tiny_run(folder / "run", tiny_base)
    return EvaluationJob(
        runs=(folder / "run",),
        data=str(large_scenes(folder / "data")),
        out=folder / "out",
        samples=10,
        sampler=SamplerSettings(1, 1),
        dtype="float32",
        execution=INLINE,
    )


@pytest.fixture(scope="module")
def long_done(long_job: EvaluationJob) -> Evaluated:
    return run_job(long_job)


def test_an_interrupted_evaluation_goes_on_and_makes_nothing_twice(
    long_done: Evaluated, long_job: EvaluationJob, tmp_path: Path
) -> None:
    """Once in the middle of drawing, with a file as a killed worker leaves it, and once between two data sets."""
    part, listener = replace(long_job, out=tmp_path / "out"), Listener()
    with pytest.raises(KeyboardInterrupt):
        run_job(part, executor=StopsAfter(1))
    drawn = times(part.out / "pictures")
    assert sorted(path.name for path in drawn) == ["0000000.json", "0000000.tar"]
    assert not json.loads((part.out / "eval.json").read_text())["complete"]
    (part.out / "pictures" / "shards" / "0000001.tar.0.partial").write_text("of a worker that was killed")
    with pytest.raises(KeyboardInterrupt):
        run_job(part, listener, executor=StopsAfter(1, part=3))
    assert listener.said[0] == "1 of 2 shards to make on cpu, 1 threads a worker, batch 1, pictures in float32"
    made = times(part.out / "pictures") | times(part.out / "real")
    assert drawn.items() <= made.items()
    assert run_job(part).report.figures == long_done.report.figures
    assert made.items() <= times(part.out).items()
    assert tree(part.out) == tree(long_job.out)


@pytest.mark.slow
@pytest.mark.ray
def test_pictures_conditions_and_figures_are_the_same_bytes_on_ray(
    long_done: Evaluated, long_job: EvaluationJob, tmp_path: Path
) -> None:
    """Two workers at once, each with a base of its own."""
    execution = ExecutionConfig(device="cpu", threads_per_worker=1, workers=2)
    run_job(replace(long_job, out=tmp_path / "out", execution=execution), executor=RayExecutor())
    assert tree(tmp_path / "out") == tree(long_job.out)


def test_several_pictures_of_a_caption_have_their_own_seeds_and_one_score(
    long_done: Evaluated, long_job: EvaluationJob, tmp_path: Path
) -> None:
    """Five samples of two pictures: picture 6 is the first of sample 3 and starts from seed 6, as that of sample 6."""
    several = replace(long_job, samples=5, pictures_per_caption=2, out=tmp_path / "out")
    (figure,) = run_job(several).report.figures
    assert figure.samples == 5
    record = read_record(pictures_of(several.out), "0000000")
    assert [entry.key for entry in record.samples[:3]] == ["000000000-0", "000000000-1", "000000001-0"]
    first, second, other = (decode_stored(picture(several.out, "0000000", n)["without.png"]) for n in (0, 1, 2))
    assert (first == decode_stored(picture(long_job.out, "0000000", 0)["without.png"])).all()
    assert (first != second).any()
    assert (second != other).any()
    made = TrainingSet(Directory(str(several.out / "with")), Condition.COLOR, use_latents=False)
    assert sum(shard.samples for shard in made.shards(0)) == 10
