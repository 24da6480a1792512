"""What an evaluation found: eval.json, samples.jsonl and the table on the terminal.

    scores of each sample and variant ──bootstrap──> means, and paired differences with - without, with - shuffled

Invariant: eval.json is written first with `complete` false, to claim the directory, and last with the figures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from pipeline.fingerprint import Inputs, differences
from stages.errors import ConfigError
from train.fidelity.bootstrap import LEVEL, Estimate, bootstrap
from train.fidelity.measures import Measure, Scores
from train.fidelity.pictures import Variant
from train.writing import writing

EVAL_FILE = "eval.json"
SAMPLES_FILE = "samples.jsonl"
CONTROLS = (Variant.WITHOUT, Variant.SHUFFLED)
COLUMNS = {
    Variant.REAL: "real",
    Variant.WITH: "with adapter",
    Variant.SHUFFLED: "shuffled",
    Variant.WITHOUT: "without",
}

ScoresOfVariants: TypeAlias = Mapping[Variant, Sequence[Scores]]
"""One entry for each sample, in one order for all variants."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure over all samples."""

    name: str
    ideal: float
    samples: int
    """That have something to measure."""
    means: dict[str, Estimate]
    """By variant."""
    differences: dict[str, Estimate]
    """With adapter minus each of `CONTROLS`, paired by sample."""


@dataclass(frozen=True, slots=True)
class Report:
    """eval.json."""

    inputs: Inputs
    """What decides the figures, with the identities of base and adapter."""
    run: str
    data: str
    base: str
    held_out: bool
    """Whether the run was trained on other data."""
    complete: bool = False
    figures: list[Figure] = field(default_factory=list)


def figures_of(measures: Sequence[Measure], scores: ScoresOfVariants, seed: int) -> list[Figure]:
    """Average each measure over the samples that have it."""
    figures = []
    for position, measure in enumerate(measures):
        values = {
            variant: [each[position] for each in of_samples if each is not None]
            for variant, of_samples in scores.items()
        }
        drawn = values[Variant.WITH]
        minus = {
            control: [one - other for one, other in zip(drawn, values[control], strict=True)] for control in CONTROLS
        }
        figures.append(
            Figure(
                name=measure.name,
                ideal=measure.ideal,
                samples=len(drawn),
                means={str(variant): bootstrap(each, seed, measure.name) for variant, each in values.items()},
                differences={str(control): bootstrap(each, seed, measure.name) for control, each in minus.items()},
            )
        )
    return figures


def claim(out: Path, report: Report) -> Report | None:
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


def read_report(out: Path) -> Report:
    """Read eval.json; ConfigError if it is malformed."""
    try:
        fields = json.loads((out / EVAL_FILE).read_text())
        figures = [
            Figure(**each | {name: _estimates(each[name]) for name in ("means", "differences")})
            for each in fields.pop("figures")
        ]
        return Report(**fields, figures=figures)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{out / EVAL_FILE} must be an evaluation's report, got {type(error).__name__}; give another --out"
        ) from None


def write_report(out: Path, report: Report) -> None:
    """Write eval.json; CheckpointError if that cannot be done."""
    with writing(out / EVAL_FILE):
        out.mkdir(parents=True, exist_ok=True)
        partial = out / f".{EVAL_FILE}.partial"
        partial.write_text(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n")
        partial.replace(out / EVAL_FILE)


def write_samples(out: Path, keys: Sequence[str], measures: Sequence[Measure], scores: ScoresOfVariants) -> None:
    """Write samples.jsonl, one line a sample: what the figures are means of."""
    lines = []
    for number, key in enumerate(keys):
        found = {variant: of_samples[number] for variant, of_samples in scores.items()}
        by_measure = {
            measure.name: {variant: each[position] for variant, each in found.items() if each is not None}
            for position, measure in enumerate(measures)
        }
        lines.append(json.dumps({"key": key, **by_measure}, ensure_ascii=False) + "\n")
    with writing(out / SAMPLES_FILE):
        (out / SAMPLES_FILE).write_text("".join(lines))


def report_table(report: Report) -> str:
    """Lay the figures out as text: means, then paired differences, each with its interval."""
    rows = [("measure", *COLUMNS.values(), "samples")]
    for figure in report.figures:
        means = (_interval(figure.means[variant]) for variant in COLUMNS)
        rows.append((f"{figure.name} ({figure.ideal:g} is best)", *means, str(figure.samples)))
    paired = [("with adapter minus", *(COLUMNS[control] for control in CONTROLS))]
    for figure in report.figures:
        paired.append((figure.name, *(_interval(figure.differences[control], "+") for control in CONTROLS)))
    return f"{_aligned(rows)}\n\n{_aligned(paired)}\n\nmeans over samples [{LEVEL:.0%} interval, bootstrap]"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _interval(estimate: Estimate, sign: str = "") -> str:
    values = (round(value, 3) + 0.0 for value in (estimate.mean, estimate.low, estimate.high))  # + 0.0: no -0.000
    mean, low, high = (format(value, f"{sign}.3f") for value in values)
    return f"{mean} [{low}, {high}]"


def _estimates(fields: dict[str, dict[str, float]]) -> dict[str, Estimate]:
    return {name: Estimate(**each) for name, each in fields.items()}
