"""Fixtures that every package's tests share: the real photographs, weights and golden files beside the checkout."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # pytest's workers share the cores: with more threads in each, torch's get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout; without it the test is skipped, or fails if CONDSET_REQUIRE_SHARED=1."""
    if not SHARED.is_dir():
        message = f"needs the real photographs and weights in {SHARED}, which is not there"
        if os.environ.get("CONDSET_REQUIRE_SHARED") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let Ctrl-C reach the commands under test: a shell's background job ignores it and hands that down."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A local Ray instance, which every executor on Ray in this process joins: starting one takes seconds."""
    from pipeline.execution.ray_cluster import connected

    with connected(None):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests measured and recorded as properties."""
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.user_properties]
    if reports:
        terminalreporter.section("figures")
    for report in reports:
        terminalreporter.write_line(report.nodeid)
        for name, value in report.user_properties:
            terminalreporter.write_line(f"    {name} {value}")
