"""eval.json is JSON to any reader, whatever the scores: what is no number is left out, counted and said."""

import json
import math
from pathlib import Path

import pytest

from stages.records import Condition
from train.fidelity.measures.measures import MEASURES, Scores
from train.fidelity.protocols import FigureName, ProtocolFigure
from train.fidelity.report import (
    EvalReport,
    figures_of,
    read_report,
    report_table,
    write_report,
    write_samples,
)
from train.fidelity.variants import variants_of

VARIANTS = variants_of([Condition.DEPTH], [1.0])
DEPTH = MEASURES[Condition.DEPTH]


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")


def report_of(scores: dict[str, list[Scores]], **more: object) -> EvalReport:
    figures = figures_of("depth", DEPTH, scores, VARIANTS, seed=0)
    fields = {"inputs": {"protocol": "t2i-adapter"}, "runs": {"depth": "run"}, "data": "", "base": "", "held_out": True}
    titles = {variant.name: variant.title for variant in VARIANTS}
    return EvalReport(**fields, variants=titles, complete=True, figures=figures, **more)  # type: ignore[arg-type]


def scores_with(bad: float, bad_samples: int) -> dict[str, list[Scores]]:
    """Of four samples: one without anything to measure, and some whose first score is no number in one variant."""
    scores: dict[str, list[Scores]] = {
        variant.name: [None, *((0.1 * number + 0.01 * sample, 0.5) for sample in range(3))]
        for number, variant in enumerate(VARIANTS)
    }
    for sample in range(bad_samples):
        scores["shuffled"][1 + sample] = (bad, 0.5)
    return scores


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_sample_whose_score_is_no_number_is_left_out_of_every_variant(bad: float, tmp_path: Path) -> None:
    report = report_of(scores_with(bad, 1))
    write_report(tmp_path, report)
    json.loads((tmp_path / "eval.json").read_text(), parse_constant=refuse)
    assert read_report(tmp_path) == report
    error, correlation = report.figures
    assert (error.samples, error.not_finite) == (2, 1)
    assert (correlation.samples, correlation.not_finite) == (3, 0)
    assert error.means["real"].mean == pytest.approx(0.015)
    assert error.differences["shuffled"].mean == pytest.approx(-0.1)
    assert report_table(report).splitlines()[-1] == (
        "depth, scale-and-shift-invariant RMSE: 1 of 3 samples are left out, whose scores are no numbers; they are "
        "null in samples.jsonl"
    )


def test_of_a_measure_that_is_never_a_number_there_is_no_mean(tmp_path: Path) -> None:
    report = report_of(scores_with(math.nan, 3))
    write_report(tmp_path, report)
    json.loads((tmp_path / "eval.json").read_text(), parse_constant=refuse)
    assert report.figures[0].means == report.figures[0].differences == {}
    row = next(line for line in report_table(report).splitlines() if "RMSE" in line)
    assert row.split()[-5:] == ["-", "-", "-", "-", "0"]
    assert "3 of 3 samples are left out" in report_table(report)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_null_among_the_samples(bad: float, tmp_path: Path) -> None:
    write_samples(tmp_path, ["a", "b", "c", "d"], {"depth": DEPTH}, {"depth": scores_with(bad, 1)})
    lines = [json.loads(line, parse_constant=refuse) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert lines[1]["depth"]["scale-and-shift-invariant RMSE"]["shuffled"] is None
    assert lines[2]["depth"]["scale-and-shift-invariant RMSE"]["real"] == pytest.approx(0.01)


def test_a_protocols_figure_that_is_no_number_is_null(tmp_path: Path) -> None:
    found = {each.name: {"FID": ProtocolFigure(FigureName.FID, 3, None)} for each in VARIANTS[:1]}
    found |= {each.name: {"FID": ProtocolFigure(FigureName.FID, 3, 1.5)} for each in VARIANTS[1:]}
    report = report_of(scores_with(0.0, 0), of_protocol=found)
    write_report(tmp_path, report)
    assert json.loads((tmp_path / "eval.json").read_text())["of_protocol"]["real"]["FID"]["value"] is None
    assert read_report(tmp_path) == report
    assert report_table(report).splitlines()[-1] == "FID of real is no number over 3 pictures"
