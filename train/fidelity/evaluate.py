"""`condset eval` as a function: how well pictures follow the conditions that the adapters were shown.

    first samples of DATASET ──draw──> OUT/pictures: real, with, shuffled, without, ... ──prepare──> OUT/<variant>
                                   compare with DATASET's conditions ──bootstrap──> eval.json, samples.jsonl, sheet.png

Both arrows that compute are work of the pipeline's executors: shards are the unit of resume, and Ray spreads them.
Invariant: the variants differ in nothing but adapters and conditions: caption, starting noise, sampler and extraction
are equal. Everything that does not fit together is refused before the first picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.config import ExecutionConfig
from pipeline.dataset.fingerprint import Inputs, fingerprint
from pipeline.environment import Environment
from stages.errors import ConfigError
from stages.extras import require
from stages.hardware.float32_products import float32_products
from stages.hardware.precision import Dtype, resolve_device
from train.base.config import model_name, named_base
from train.base.load import load_base
from train.base.protocol import FrozenDiffusion
from train.fidelity.adapters import EvaluatedRun, check_base, open_runs
from train.fidelity.drawing import Drawing, DrawnMember
from train.fidelity.extraction import Extraction
from train.fidelity.held_out import HeldOut, HeldOutConfig
from train.fidelity.measures.measures import Fidelity, MeasuredData, fidelity_of
from train.fidelity.pictures import Pictures
from train.fidelity.protocol_figures import judge
from train.fidelity.protocols import EvalProtocol, FigureName, open_networks, protocol_of
from train.fidelity.report import (
    EVAL_FORMAT,
    EvalReport,
    claim,
    figures_of,
    write_report,
    write_samples,
)
from train.fidelity.scoring import scores_of
from train.fidelity.sheet import write_sheet
from train.fidelity.variants import WITH, variants_of
from train.sampling.denoise import check_steps
from train.sampling.settings import SamplerSettings

LEAST_SAMPLES = 2
"""Of one sample there is no other condition to be shown."""


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """Which adapters, on which pictures, drawn how."""

    runs: tuple[Path, ...]
    """Of each the last checkpoint is evaluated; several are composed, each for its own condition."""
    data: str
    """A finished data set, best one of held-out samples, that has all of their conditions."""
    out: Path
    weights: tuple[float, ...] = ()
    """How much the features of each adapter count; none is 1 for each."""
    samples: int = 64
    """The first so many of the data set."""
    pictures_per_caption: int | None = None
    """Of each variant; a sample's score is the mean over its pictures. None is 1, or what the protocol says."""
    protocol: str | None = None
    """Of `train.fidelity.protocols`: adds its figures, such as FID."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    """Picture p starts from its seed + p; sample n has the pictures from n * pictures_per_caption on."""
    base: str | None = None
    """A directory in diffusers' layout, a hub id or "scenes"; None takes the base that the first run was trained on."""
    variant: str | None = None
    """Of the base's weight files, such as "fp16"; None takes the run's, or none."""
    base_config: str | None = None
    """Of a base in one file: what describes it."""
    dtype: Dtype = "auto"
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    """How drawing and extracting are spread over the machine."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A complete evaluation."""

    report: EvalReport
    was_complete: bool


def evaluate(job: EvaluationJob, environment: Environment) -> Evaluated:
    """Draw, extract, compare; goes on where an interrupted evaluation of the same settings stopped.

    Raises ConfigError for what does not fit together or an --out that holds something else, WeightsError before the
    first picture if the annotators' or the base's weights are missing, and what `pipeline.run.prepare` raises.
    """
    runs, protocol = open_runs(job.runs), None if job.protocol is None else protocol_of(job.protocol)
    conditions = tuple(run.config.condition for run in runs)
    held_out_config = HeldOutConfig(job.data, conditions, job.samples, _pictures_per_caption(job, protocol))
    held_out = held_out_config.open()
    store, device = environment.weights, job.execution.device
    fidelities = [
        fidelity_of(MeasuredData.of(data), run.config.conditions, store, device)
        for data, run in zip(held_out.sets, runs, strict=True)
    ]
    _check_samples(job, held_out, fidelities)
    drawing, base = _drawing(job, runs, held_out_config, environment.say)
    inputs = _inputs(job, held_out, drawing, base.vae_sha256())
    pictures = Pictures(job.out, drawing, fingerprint(inputs))
    extraction = Extraction(held_out, fidelities, pictures, job.execution, environment)
    extraction.check()
    if protocol is not None:
        protocol.check(held_out.size_pixels)
        if FigureName.FID in protocol.figures:
            require("eval")
        for model in protocol.models:
            store.resolve(model)
    report = _report(job, runs, held_out, drawing, inputs)
    there = claim(job.out, report)
    if there is not None:
        return Evaluated(there, was_complete=True)
    captions = (held_out.members(sample)["txt"].decode() for sample in range(held_out.samples))
    report = replace(report, captions_cut=sum(base.tokens_cut(caption) > 0 for caption in captions))
    _warn(job, runs, held_out, report, environment.say)
    pictures.draw_missing(extraction.config(drawing.variants[0]), environment)
    finished = _measured(job, report, extraction, protocol)
    write_report(job.out, finished)
    return Evaluated(finished, was_complete=False)


def _measured(
    job: EvaluationJob, report: EvalReport, extraction: Extraction, protocol: EvalProtocol | None
) -> EvalReport:
    """Extract and compare what is drawn, and write it down for each sample; returns the report with its figures."""
    held_out, pictures = extraction.held_out, extraction.pictures
    measures = {condition: each.measures for condition, each in zip(report.runs, extraction.fidelities, strict=True)}
    scores = scores_of(extraction)
    write_samples(job.out, held_out.keys, measures, scores)
    write_sheet(job.out, pictures, held_out)
    figures = [
        figure
        for condition, of_variants in scores.items()
        for figure in figures_of(
            condition, measures[condition], of_variants, pictures.drawing.variants, job.sampler.seed
        )
    ]
    of_protocol = {}
    if protocol is not None:
        with float32_products(resolve_device(job.execution.device)):
            networks = open_networks(protocol, extraction.environment.weights, job.execution.device)
            of_protocol = judge(protocol, networks, pictures, held_out)
    return replace(report, complete=True, drawn_on=_drawn_on(pictures), figures=figures, of_protocol=of_protocol)


def _pictures_per_caption(job: EvaluationJob, protocol: EvalProtocol | None) -> int:
    """Settle how many pictures each variant has of a sample; ConfigError if job and protocol disagree."""
    if protocol is None:
        return job.pictures_per_caption or 1
    if job.pictures_per_caption not in (None, protocol.pictures_per_caption):
        raise ConfigError(
            f"--pictures-per-caption must be {protocol.pictures_per_caption} in --protocol {protocol.name}, got "
            f"{job.pictures_per_caption}; leave it out"
        )
    return protocol.pictures_per_caption


def _check_samples(job: EvaluationJob, held_out: HeldOut, fidelities: Sequence[Fidelity]) -> None:
    """Refuse a data set with too few samples, or with none that has anything to measure."""
    if held_out.samples < LEAST_SAMPLES:
        raise ConfigError(
            f"--samples must be at least {LEAST_SAMPLES}, since one sample has no other's condition, got "
            f"{held_out.samples} of {job.data}; take more"
        )
    for data, fidelity in zip(held_out.sets, fidelities, strict=True):
        # A keypose is compared by its persons alone, so it can be compared with itself before anything is drawn.
        members = (held_out.members(sample) for sample in range(held_out.samples))
        if all(fidelity.score(each, each) is None for each in members):
            raise ConfigError(
                f"--data {job.data} must show something that {data.condition.name} measures in its first "
                f"{held_out.samples} samples, got nothing (no person, for example); raise --samples"
            )


def _drawing(
    job: EvaluationJob, runs: Sequence[EvaluatedRun], samples: HeldOutConfig, say: Callable[[str], None]
) -> tuple[Drawing, FrozenDiffusion]:
    """Settle what is drawn with which base; ConfigError if adapters, steps and base do not fit together."""
    weights = job.weights or (1.0,) * len(runs)
    if len(weights) != len(runs):
        raise ConfigError(
            f"--weight must be given as often as RUN, {len(runs)} times, got {len(weights)}; they are paired in the "
            "order in which they are typed"
        )
    diffusion = named_base(job.base, job.variant, job.base_config, runs[0].config.diffusion, say)
    assert diffusion is not None, "a run has one"
    base = load_base(diffusion, "cpu", "float32")  # to look at: the workers load their own
    check_base(runs, base, is_named=job.base is not None)
    check_steps(base, job.sampler.steps, "--steps")
    drawing = Drawing(
        held_out=samples,
        adapters=tuple(run.adapter for run in runs),
        diffusion=diffusion,
        base=base.identity,
        variants=variants_of(samples.conditions, weights),
        sampler=job.sampler,
        dtype=job.dtype,
    )
    return drawing, base


def _inputs(job: EvaluationJob, held_out: HeldOut, drawing: Drawing, vae_sha256: str | None) -> Inputs:
    """Collect what decides the figures; what dtype "auto" becomes belongs to the numerics, as in `prepare`."""
    inputs: Inputs = {"format": EVAL_FORMAT}
    weights = next(variant.weights for variant in drawing.variants if variant.name == WITH)
    for adapter, weight in zip(drawing.adapters, weights, strict=True):
        inputs |= {f"adapter.{adapter.condition}": adapter.sha256, f"weight.{adapter.condition}": weight}
    fingerprints = dict.fromkeys(each for data in held_out.sets for each in data.fingerprints)
    return inputs | {
        "base": drawing.base,
        "vae": vae_sha256,
        "data": " ".join(fingerprints),
        "samples": held_out.samples,
        "pictures_per_caption": held_out.pictures_per_caption,
        "protocol": job.protocol,
        "seed": job.sampler.seed,
        "steps": job.sampler.steps,
        "guidance": job.sampler.guidance,
        "active_share": job.sampler.active_share,
        "dtype": job.dtype,
    }


def _report(
    job: EvaluationJob, runs: Sequence[EvaluatedRun], held_out: HeldOut, drawing: Drawing, inputs: Inputs
) -> EvalReport:
    """Describe the evaluation before anything is drawn."""
    return EvalReport(
        inputs=inputs,
        runs={str(run.config.condition): str(run.path) for run in runs},
        data=job.data,
        base=model_name(drawing.diffusion),
        held_out=not _trained_on_it(runs, held_out),
        variants={variant.name: variant.title for variant in drawing.variants},
    )


def _trained_on_it(runs: Sequence[EvaluatedRun], held_out: HeldOut) -> list[Path]:
    """The runs that read this data set, with whatever layers."""
    here = held_out.sets[0].manifest.fingerprint
    return [
        run.path
        for run in runs
        if any(here in str(value).split() for name, value in run.file.inputs.items() if name.startswith("data."))
    ]


def _warn(
    job: EvaluationJob,
    runs: Sequence[EvaluatedRun],
    held_out: HeldOut,
    report: EvalReport,
    say: Callable[[str], None],
) -> None:
    for path in _trained_on_it(runs, held_out):
        say(f"warning: {path} was trained on {job.data}; samples that it never saw tell more")
    if held_out.samples < job.samples:
        say(f"{job.data} has {held_out.samples} samples, fewer than {job.samples}; taking them all")
    if report.captions_cut:
        say(f"{report.captions_cut} of {held_out.samples} captions are cut: they have more tokens than the base reads")


def _drawn_on(pictures: Pictures) -> dict[str, str | int]:
    numerics = pictures.numerics()
    return {
        "device": numerics.device,
        "dtype": numerics.dtypes[DrawnMember.PICTURES],
        "batch_size": numerics.batch_size,
        "threads_per_worker": numerics.threads_per_worker,
    }
