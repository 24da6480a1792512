"""What an evaluation found: eval.json, samples.jsonl and the table on the terminal.

    scores of each sample and variant ──bootstrap──> means, and paired differences: with - without, with - shuffled, ...

Invariant: eval.json is written first with `complete` false, to claim the directory, and last with the figures.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from pipeline.dataset.fingerprint import Inputs, differences
from pipeline.tables import text_lines
from stages.errors import ConfigError
from stages.locations import PARTIAL
from train.fidelity.bootstrap import LEVEL, Estimate, bootstrap
from train.fidelity.measures.measures import Measure, Scores
from train.fidelity.protocols import ProtocolFigure
from train.fidelity.variants import WITH, Variant, controls_of
from train.runs.write_errors import explain_write_errors

EVAL_FILE = "eval.json"
SAMPLES_FILE = "samples.jsonl"
NO_FIGURE = "-"
"""In the table, where there is nothing to average."""
EVAL_FORMAT = 2
"""Of eval.json, among its inputs: 2 since an evaluation may have several conditions."""

ScoresOfVariants: TypeAlias = Mapping[str, Sequence[Scores]]
"""By the variant's name; one entry for each sample, in one order for all variants."""


@dataclass(frozen=True, slots=True)
class MeasureFigure:
    """One measure of one condition over all samples."""

    condition: str
    name: str
    ideal: float
    samples: int
    """That have something to measure, and scores that are numbers in every variant."""
    means: dict[str, Estimate]
    """By variant."""
    differences: dict[str, Estimate]
    """With the adapters minus each of the controls, paired by sample."""
    not_finite: int = 0
    """Further samples, left out because a score of theirs is infinite or undefined."""


@dataclass(frozen=True, slots=True)
class EvalReport:
    """eval.json."""

    inputs: Inputs
    """What decides the figures, with the identities of base and adapters."""
    runs: dict[str, str]
    """Condition to run."""
    data: str
    base: str
    held_out: bool
    """Whether the runs were trained on other data."""
    variants: dict[str, str]
    """Name to title, in the order of the columns."""
    drawn_on: dict[str, str | int] = field(default_factory=dict)
    """Device, dtype and batch size of the drawing: what `auto` became."""
    complete: bool = False
    figures: list[MeasureFigure] = field(default_factory=list)
    captions_cut: int = 0
    """Samples whose caption has more tokens than the base's text encoder reads."""
    of_protocol: dict[str, dict[str, ProtocolFigure]] = field(default_factory=dict)
    """What the named protocol found: by variant, then by the figure's name."""


def figures_of(
    condition: str, measures: Sequence[Measure], scores: ScoresOfVariants, variants: Sequence[Variant], seed: int
) -> list[MeasureFigure]:
    """Average each measure of a condition over the samples that have it as a number in every variant."""
    figures = []
    for position, measure in enumerate(measures):
        measured = {
            name: [each[position] for each in of_samples if each is not None] for name, of_samples in scores.items()
        }
        finite = [all(map(math.isfinite, of_sample)) for of_sample in zip(*measured.values(), strict=True)]
        values = {name: list(itertools.compress(each, finite)) for name, each in measured.items()}
        drawn = values[WITH]
        minus = {
            control.name: [one - other for one, other in zip(drawn, values[control.name], strict=True)]
            for control in controls_of(variants)
        }
        figures.append(
            MeasureFigure(
                condition=condition,
                name=measure.name,
                ideal=measure.ideal,
                samples=len(drawn),
                means={name: bootstrap(each, seed, measure.name) for name, each in values.items() if each},
                differences={name: bootstrap(each, seed, measure.name) for name, each in minus.items() if each},
                not_finite=len(finite) - len(drawn),
            )
        )
    return figures


def claim(out: Path, report: EvalReport) -> EvalReport | None:
    """Take a directory for an evaluation, or go on in it; returns its report if it is complete already.

    Raises ConfigError if it holds another evaluation, naming what differs, or something else.
    """
    if (out / EVAL_FILE).is_file():
        there = read_report(out)
        differing = differences(there.inputs, report.inputs)
        if differing:
            raise ConfigError(f"{out} must hold this evaluation, got another one ({differing}); give another --out")
        return there if there.complete else None
    if out.is_file() or (out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir())):
        got = "a file" if out.is_file() else f"one with {min(path.name for path in out.iterdir())}"
        raise ConfigError(f"{out} must be a new directory or an evaluation's, got {got}; give another --out")
    write_report(out, report)
    return None


def read_report(out: Path) -> EvalReport:
    """Read eval.json; ConfigError if it is malformed."""
    try:
        fields = json.loads((out / EVAL_FILE).read_text())
        figures = [
            MeasureFigure(**each | {name: _estimates(each[name]) for name in ("means", "differences")})
            for each in fields.pop("figures")
        ]
        of_protocol = {
            variant: {name: ProtocolFigure(**each) for name, each in found.items()}
            for variant, found in fields.pop("of_protocol").items()
        }
        return EvalReport(**fields, figures=figures, of_protocol=of_protocol)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{out / EVAL_FILE} must be an evaluation's report, got {type(error).__name__}; give another --out"
        ) from None


def write_report(out: Path, report: EvalReport) -> None:
    """Write eval.json; CheckpointError if that cannot be done."""
    with explain_write_errors(out / EVAL_FILE):
        out.mkdir(parents=True, exist_ok=True)
        partial = out / f".{EVAL_FILE}{PARTIAL}"
        partial.write_text(report_json(report) + "\n")
        partial.replace(out / EVAL_FILE)


def report_json(report: EvalReport) -> str:
    """Write a report as eval.json has it."""
    return json.dumps(asdict(report), indent=2, ensure_ascii=False, allow_nan=False)


def write_samples(
    out: Path,
    keys: Sequence[str],
    measures: Mapping[str, Sequence[Measure]],
    scores: Mapping[str, ScoresOfVariants],
) -> None:
    """Write samples.jsonl, one line a sample: what the figures are means of. Both mappings are by condition.

    A score that is infinite or undefined is null there.
    """
    lines = []
    for number, key in enumerate(keys):
        line: dict[str, object] = {"key": key}
        for condition, of_variants in scores.items():
            found = {name: of_samples[number] for name, of_samples in of_variants.items()}
            line[condition] = {
                measure.name: {name: _number(each[position]) for name, each in found.items() if each is not None}
                for position, measure in enumerate(measures[condition])
            }
        lines.append(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    with explain_write_errors(out / SAMPLES_FILE):
        (out / SAMPLES_FILE).write_text("".join(lines))


def report_table(report: EvalReport) -> str:
    """Lay the figures out as text, a block for each condition: means, then paired differences, with their intervals."""
    blocks = []
    for condition in report.runs:
        figures = [figure for figure in report.figures if figure.condition == condition]
        rows = [(condition if len(report.runs) > 1 else "measure", *report.variants.values(), "samples")]
        for figure in figures:
            means = (_interval(figure.means.get(name)) for name in report.variants)
            rows.append((f"{figure.name} ({figure.ideal:g} is best)", *means, str(figure.samples)))
        controls = list(dict.fromkeys(control for figure in figures for control in figure.differences))
        paired = [(f"{report.variants[WITH]} minus", *(report.variants[name] for name in controls))]
        for figure in figures:
            paired.append((figure.name, *(_interval(figure.differences.get(name), "+") for name in controls)))
        blocks += [text_lines(rows), text_lines(paired)]
    if report.of_protocol:
        blocks.append(text_lines(_protocol_rows(report)))
    notes = [f"means over samples [{LEVEL:.0%} interval, bootstrap]", *_left_out(report)]
    return "\n\n".join([*map("\n".join, blocks), "\n".join(notes)])


def _left_out(report: EvalReport) -> Iterator[str]:
    """Say what no number was found for."""
    for figure in report.figures:
        if figure.not_finite:
            yield (
                f"{figure.condition}, {figure.name}: {figure.not_finite} of {figure.samples + figure.not_finite} "
                f"samples are left out, whose scores are no numbers; they are null in {SAMPLES_FILE}"
            )
    for variant, found in report.of_protocol.items():
        for name, each in found.items():
            if each.value is None:
                yield f"{name} of {report.variants[variant]} is no number over {each.pictures} pictures"


def _protocol_rows(report: EvalReport) -> list[tuple[str, ...]]:
    """One row for each figure of the protocol; FID has no interval."""
    rows = [(str(report.inputs["protocol"]), *report.variants.values(), "pictures")]
    for name, first in next(iter(report.of_protocol.values())).items():
        cells = []
        for found in (report.of_protocol[variant][name] for variant in report.variants):
            if found.value is None:
                cells.append(NO_FIGURE)
            elif found.low is None or found.high is None:
                cells.append(f"{found.value:.3f}")
            else:
                cells.append(_interval(Estimate(found.value, found.low, found.high)))
        rows.append((name, *cells, str(first.pictures)))
    return rows


def _number(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _interval(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return NO_FIGURE
    values = (round(value, 3) + 0.0 for value in (estimate.mean, estimate.low, estimate.high))  # + 0.0: no -0.000
    mean, low, high = (format(value, f"{sign}.3f") for value in values)
    return f"{mean} [{low}, {high}]"


def _estimates(fields: dict[str, dict[str, float]]) -> dict[str, Estimate]:
    return {name: Estimate(**each) for name, each in fields.items()}
