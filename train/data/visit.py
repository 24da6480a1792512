"""One visit of a sample, as far as chance is concerned: the run's seed and the global sample index.

    Visit(seed, index) ──random("flip")──> the generator of that one choice

A sample that comes again in the next epoch has another index, so it is another visit. The invariant: whatever is drawn
for a visit is a function of (seed, purpose, global sample index), so two workers draw what one with accumulation draws,
and a resumed run what an uninterrupted one does.
"""

from dataclasses import dataclass

import numpy as np

from stages.randomness import random_for


@dataclass(frozen=True, slots=True)
class Visit:
    """Whose random choices they are."""

    seed: int
    """Of the run."""
    index: int
    """Global sample index: how many samples the run visits before this one."""

    def random(self, purpose: str) -> np.random.Generator:
        """Return the generator of one choice, which `purpose` names; equal purposes give equal bits."""
        return random_for(self.seed, purpose, self.index)
