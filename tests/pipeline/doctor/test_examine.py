"""`condset doctor` as a whole, on this machine."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.doctor.examine import Diagnosis, examine
from pipeline.doctor.finding import Finding, Level
from pipeline.doctor.weights import WeightsState


def test_everything_is_looked_at_and_nothing_is_a_problem_here() -> None:
    findings = examine().findings
    subjects = {each.subject for each in findings}
    assert {"python", "condset", "torch", "processor", "memory", "disk"} <= subjects
    assert "network" not in subjects
    assert not [each for each in findings if each.level is Level.PROBLEM and each.subject != "GPU"]


@pytest.fixture
def _unreachable_proxy() -> Iterator[None]:
    """Send urllib through a proxy that is not there; it remembers the proxies of when its opener was built."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        environment.setenv("NO_PROXY", "")
        urllib.request.install_opener(urllib.request.build_opener())
        yield
    urllib.request.install_opener(urllib.request.build_opener())


@pytest.mark.usefixtures("_unreachable_proxy")
def test_the_servers_silence_is_a_warning() -> None:
    asked = [finding for finding in examine(network=True).findings if finding.subject == "network"]
    assert {finding.found.split(": ")[1] for finding in asked} == {"Connection refused"}
    assert {finding.level for finding in asked} == {Level.WARNING}
    assert any("download.openmmlab.com" in finding.found for finding in asked)


@pytest.mark.parametrize("where", ["findings", "weights"])
def test_a_problem_anywhere_is_one(where: str) -> None:
    finding = Finding("ray", Level.PROBLEM if where == "findings" else Level.WARNING, "no")
    state = WeightsState("pidinet", Level.PROBLEM if where == "weights" else Level.OK, 1, "p")
    assert Diagnosis((finding,), (state,)).has_problems
    assert not Diagnosis((), ()).has_problems


@pytest.mark.slow
def test_no_library_warns_on_the_terminal() -> None:
    root = Path(__file__).parents[3]
    finished = subprocess.run(
        [sys.executable, "-W", "always", "-c", "from pipeline.doctor.examine import examine; examine()"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stderr == ""
