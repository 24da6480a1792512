"""`condset eval` as a function: how well pictures follow the conditions that the adapter was shown.

    first samples of DATASET ──draw──> OUT/pictures/{real,with,shuffled,without} ──prepare──> OUT/<variant>, data sets
                                   compare with DATASET's conditions ──bootstrap──> eval.json, samples.jsonl, sheet.png

Invariant: the variants differ in nothing but the condition: caption, starting noise, sampler and extraction are equal.
Everything that does not fit together is refused before the first picture; what is done is not done again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline.executor import Executor
from pipeline.fingerprint import Inputs
from pipeline.storage import Directory
from stages.errors import ConfigError
from stages.precision import Dtype
from stages.records import Condition, UInt8Array
from stages.weights import WeightsStore
from train.base_model import load_base
from train.conditions import ConditionsConfig
from train.data import TrainingSet
from train.diffusion_config import AnyDiffusion, StableDiffusionConfig
from train.exchange import open_adapter, run_config, stored_in_run
from train.fidelity.extraction import Extraction, extracted, members_of
from train.fidelity.measures import Fidelity, Scores, fidelity_of
from train.fidelity.pictures import HeldOut, Sampler, Variant, condition_of, draw_missing, first_samples, picture_file
from train.fidelity.report import COLUMNS, Report, claim, figures_of, write_report, write_samples
from train.picture_grid import GridRow, draw_grid
from train.run_directory import RunFile, read_run
from train.writing import writing

if TYPE_CHECKING:
    from train.stable_diffusion import StableDiffusion

SHEET_FILE = "sheet.png"
SHEET_SAMPLES = 8
LEAST_SAMPLES = 2
"""Of one sample there is no other condition to be shown."""


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """Which adapter, on which pictures, drawn how."""

    run: Path
    """Its last checkpoint is evaluated."""
    data: str
    """A finished data set, best one of held-out samples."""
    out: Path
    samples: int = 64
    """The first so many of the data set."""
    seed: int = 0
    """Sample n starts from seed + n."""
    steps: int = 50
    guidance: float = 7.5
    active_share: float = 1.0
    """Of the steps, from the first, in which the adapter is active."""
    base: str | None = None
    """A directory in diffusers' layout or a hub id; None takes the base that the run was trained on."""
    device: str = "auto"
    dtype: Dtype = "auto"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an evaluation is given by its caller."""

    executor: Callable[[], Executor]
    weights: WeightsStore
    say: Callable[[str], None]
    """Takes sentences for the user."""
    drawn: Callable[[int, int], object]
    """Takes how many samples are drawn, of how many."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A complete evaluation."""

    report: Report
    was_complete: bool


def evaluate(job: EvaluationJob, surroundings: Surroundings) -> Evaluated:
    """Draw, extract, compare; goes on where an interrupted evaluation of the same settings stopped.

    Raises ConfigError for what does not fit together or an --out that holds something else, WeightsError before the
    first picture if the annotator's or the base's weights are missing, and what `pipeline.run.prepare` raises.
    """
    file = read_run(job.run)
    config = run_config(job.run, file)
    data = TrainingSet(Directory(job.data), config.condition, use_latents=False)
    held_out, fidelity = first_samples(data, job.samples), fidelity_of(data, config.conditions)
    extraction = Extraction(
        data, fidelity, job.out, job.device, surroundings.executor, surroundings.weights, surroundings.say
    )
    _check_samples(job, held_out, fidelity)
    extraction.check()
    diffusion = config.diffusion if job.base is None else StableDiffusionConfig(model=job.base)
    sampler, base, adapter_sha256 = _sampler(job, file, config.conditions, diffusion)
    report = Report(
        inputs=_inputs(job, held_out, base, adapter_sha256),
        run=str(job.run),
        data=job.data,
        base=_name(diffusion),
        held_out=not _trained_on(file, data),
    )
    there = claim(job.out, report)
    if there is not None:
        return Evaluated(there, was_complete=True)
    if not report.held_out:
        surroundings.say(f"warning: {job.run} was trained on {job.data}; samples that it never saw tell more")
    if len(held_out) < job.samples:
        surroundings.say(f"{job.data} has {len(held_out)} samples, fewer than {job.samples}; taking them all")
    draw_missing(sampler, held_out, job.out, surroundings.drawn)
    scores = {variant: _scores(extraction, held_out, variant) for variant in Variant}
    keys = [held_out[number][0] for number in range(len(held_out))]
    write_samples(job.out, keys, fidelity.measures, scores)
    _write_sheet(job.out, sampler, held_out)
    finished = replace(report, complete=True, figures=figures_of(fidelity.measures, scores, job.seed))
    write_report(job.out, finished)
    return Evaluated(finished, was_complete=False)


def _check_samples(job: EvaluationJob, held_out: HeldOut, fidelity: Fidelity) -> None:
    """Refuse a data set with too few samples, or with none that has anything to measure."""
    if len(held_out) < LEAST_SAMPLES:
        raise ConfigError(
            f"--samples must be at least {LEAST_SAMPLES}, since one sample has no other's condition, got "
            f"{len(held_out)} of {job.data}; take more"
        )
    for number in range(len(held_out)):
        _, members = held_out[number]
        # A keypose is compared by its persons alone, so it can be compared with itself before anything is drawn.
        if fidelity.score(members, members) is not None:
            return
    raise ConfigError(
        f"--data {job.data} must have something to measure in its first {len(held_out)} samples, got no person; "
        "raise --samples"
    )


def _sampler(
    job: EvaluationJob, file: RunFile, conditions: ConditionsConfig, diffusion: AnyDiffusion
) -> "tuple[Sampler, StableDiffusion, str]":
    """Load adapter and base, and hash the adapter's file; ConfigError if the two do not go together."""
    stored = stored_in_run(job.run)
    adapter = open_adapter(stored)
    base = load_base(diffusion, job.device, job.dtype)
    if adapter.shapes != base.feature_shapes:
        ours, theirs = (
            " ".join(f"{shape.channels}/{shape.stride}" for shape in shapes)
            for shapes in (adapter.shapes, base.feature_shapes)
        )
        raise ConfigError(f"--base must take the features of {job.run}, {ours}, got {theirs}; give one that does")
    if job.base is None and base.identity != file.base:
        raise ConfigError(
            f"{job.run} must be evaluated with the base that it was trained on, {file.base[:12]}, got "
            f"{base.identity[:12]}; give --base to choose it or another"
        )
    sampler = Sampler(
        base=base,
        adapter=adapter.module.to(base.device),
        channels=adapter.in_channels,
        conditions=conditions,
        seed=job.seed,
        steps=job.steps,
        guidance=job.guidance,
        active_share=job.active_share,
    )
    with stored.file.open("rb") as opened:
        return sampler, base, hashlib.file_digest(opened, "sha256").hexdigest()


def _inputs(job: EvaluationJob, held_out: HeldOut, base: "StableDiffusion", adapter_sha256: str) -> Inputs:
    """Collect what decides the figures."""
    return {
        "adapter": adapter_sha256,
        "base": base.identity,
        "vae": base.vae_sha256(),
        "data": " ".join(held_out.data.fingerprints),
        "samples": len(held_out),
        "seed": job.seed,
        "steps": job.steps,
        "guidance": job.guidance,
        "active_share": job.active_share,
        "dtype": str(base.dtype).removeprefix("torch."),
    }


def _name(diffusion: AnyDiffusion) -> str:
    return diffusion.model if isinstance(diffusion, StableDiffusionConfig) else diffusion.kind


def _trained_on(file: RunFile, data: TrainingSet) -> bool:
    """Whether the run read this data set, with whatever layers."""
    trained = (str(value).split() for name, value in file.inputs.items() if name.startswith("data."))
    return any(data.manifest.fingerprint in fingerprints for fingerprints in trained)


def _scores(extraction: Extraction, held_out: HeldOut, variant: Variant) -> list[Scores]:
    """Extract the conditions of a variant's pictures and compare each with the sample's own."""
    made = extraction.make(variant)
    places = extracted(made, held_out)
    return [
        extraction.fidelity.score(held_out[number][1], members_of(made, place)) for number, place in enumerate(places)
    ]


def _write_sheet(out: Path, sampler: Sampler, held_out: HeldOut) -> None:
    """Draw condition, real picture and the drawn ones of the first samples side by side."""
    rows = []
    for number in range(min(SHEET_SAMPLES, len(held_out))):
        key, members = held_out[number]
        condition_hwc = condition_of(sampler, held_out, number).transpose(1, 2, 0)
        pictures = [_read(picture_file(out, variant, key)) for variant in COLUMNS]
        shown = np.broadcast_to(condition_hwc, pictures[0].shape)
        rows.append(GridRow((shown, *pictures), members["txt"].decode()))
    condition = Condition(held_out.data.condition.name)
    with writing(out / SHEET_FILE):
        draw_grid((condition, *COLUMNS.values()), rows).save(out / SHEET_FILE)


def _read(file: Path) -> UInt8Array:
    with Image.open(file) as image:
        return np.asarray(image)
