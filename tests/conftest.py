"""Fixtures that every package's tests share: the real photographs, weights and golden files beside the checkout."""

import os
import signal
from pathlib import Path

import pytest

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
