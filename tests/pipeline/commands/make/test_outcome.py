"""A run that leaves no sample is no success: it ends with 2, the reasons, and what to change."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.commands.make.outcome import ADVICE, advice, report
from pipeline.commands.make.prepare import run_layer, run_prepare
from pipeline.dataset.storage import Directory
from pipeline.run import prepare
from stages.errors import SourceError
from stages.records import Reason
from tests.console import condset
from tests.offline import offline
from tests.pipeline.conftest import Make

TOO_SMALL = {"size_pixels": 64, "min_size_pixels": 90}
"""The scenes are 96 x 80 pixels."""


def test_a_run_whose_every_sample_was_rejected_says_why_and_what_to_change(make_config: Make, tmp_path: Path) -> None:
    directory = Directory(str(tmp_path / "data"))
    summary = prepare(make_config(image=TOO_SMALL), directory, offline())
    with pytest.raises(SourceError) as refused:
        report(directory, summary)
    assert str(refused.value) == (
        f"{directory} must have samples, got 12 candidates that were all rejected (12 too_small), "
        "the first, 000000000: expected a short side of at least 90 pixels, got 96 x 80; "
        "set a lower image.min_size_pixels, then remove this directory and run again"
    )
    with pytest.raises(SourceError, match="12 candidates that were all rejected"):  # nor is it "complete already"
        run_prepare(make_config(image=TOO_SMALL), str(directory), offline())


def test_a_layer_without_a_sample_is_no_success_either(make_config: Make, data_set: Path) -> None:
    edges = {"kind": "canny", "low_threshold": 5000, "high_threshold": 6000, "min_edges": 0.5}
    with pytest.raises(SourceError, match=r"12 no_edges\), the first, .*; set a lower min_edges, then remove"):
        run_layer(make_config(annotators=[edges]), str(data_set), offline())


def test_the_command_ends_with_2(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(
        'name = "small"\nannotators = []\n[source]\nkind = "synthetic"\ncount = 3\nwidth_pixels = 64\n'
        "height_pixels = 64\n[image]\nsize_pixels = 64\nmin_size_pixels = 65\n"
    )
    result = condset("prepare", config, "--out", tmp_path / "data", "--executor", "inline")
    assert result.status == 2
    assert "must have samples, got 3 candidates that were all rejected (3 too_small)" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("rejected", "expected"),
    [
        (
            {"refused_address": 5, "timeout": 2},
            "if you trust these hosts, list them in fetch.allow_private_hosts, "
            "and run again with --retry-rejected refused_address",
        ),
        (
            {"missing_file": 3},
            "check source.root and source.split, and that the files are readable here, "
            "and run again with --retry-rejected missing_file",
        ),
        ({"no_person": 3}, "set a lower min_persons, then remove this directory and run again"),
        ({"of_a_newer_condset": 1}, "look at its rejected.jsonl, then remove this directory and run again"),
        ({}, "look at its rejected.jsonl, then remove this directory and run again"),
    ],
)
def test_the_advice_is_for_the_reason_of_most(rejected: Mapping[str, int], expected: str) -> None:
    assert advice(rejected) == expected


def test_what_is_advised_to_be_set_is_a_setting(make_config: Make) -> None:
    tables = make_config().model_dump()
    named = {
        word.strip(",") for text in ADVICE.values() for word in text.split() if word.startswith(("fetch.", "image."))
    }
    assert named
    for setting in named:
        table, _, name = setting.partition(".")
        assert name in tables[table], setting
    assert set(ADVICE) <= set(Reason)
