"""A machine without weights, caches or a driver; tests put in what they are about."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights directory, an empty cache and nvidia-smi nowhere."""
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
