"""Every random choice is drawn from (seed, purpose, key), so that it depends on nothing else that has run.

    (seed, purpose, key) ──JSON──sha256──> SeedSequence ──> PCG64 ──> Generator

The invariant: equal arguments give equal bits in every process, in any order, under every version of Python. The bits
of SeedSequence and PCG64 are part of NumPy's promise of compatibility; what `Generator.normal` and its like make of
them may change with the version of NumPy (NEP 19).
"""

import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")


def random_for(seed: int, purpose: str, key: str | int) -> np.random.Generator:
    """Return the generator of one choice: `purpose` names what is chosen, `key` the sample or step it is chosen for.

    The three are hashed as a JSON list, which is unambiguous: ("a", "bc") is not ("ab", "c"), and the key 1 not "1".
    Integers may be negative and of any size; they must be Python's own (json raises TypeError for NumPy's).
    """
    encoded = json.dumps([seed, purpose, key]).encode("ascii")
    entropy = int.from_bytes(hashlib.sha256(encoded).digest(), "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def pick(generator: np.random.Generator, options: Sequence[Option]) -> Option:
    """Draw one of `options`, all equally likely, from one `generator.random()`.

    `Generator.integers` and `Generator.choice` take over ten times as long for a single draw, which shows in an index
    of a million scenes.
    """
    return options[int(generator.random() * len(options))]
