"""Every network's file of weights: whether it is on this machine, by its size; `condset weights check` hashes it."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.doctor.finding import Level
from stages.weights.store import WeightsStore


@dataclass(frozen=True, slots=True)
class WeightsState:
    """One file of weights."""

    model: str
    level: Level
    """A warning if it is missing, since only what uses it fails; a problem if it has another size than published."""
    size_bytes: int | None
    """As published; None if the publisher does not say and the file is not here."""
    path: str
    """Empty if it is missing."""
    advice: str = ""


def examine_weights(weights_dir: Path | None) -> list[WeightsState]:
    """Look for every model's file, in the order of the catalogue."""
    store = WeightsStore(weights_dir, allow_network=False)
    states = []
    for name, model in store.models.items():
        path = store.find(name)
        if path is None:
            state = WeightsState(name, Level.WARNING, model.size_bytes, "", f"condset weights fetch {name}")
        elif model.size_bytes not in (None, size_bytes := path.stat().st_size):
            advice = f"{size_bytes} of {model.size_bytes} bytes: delete it and run condset weights fetch {name}"
            state = WeightsState(name, Level.PROBLEM, model.size_bytes, str(path), advice)
        else:
            state = WeightsState(name, Level.OK, size_bytes, str(path))
        states.append(state)
    return states
