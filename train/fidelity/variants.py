"""Which pictures of one held-out sample are measured, and what each is drawn with.

    name         adapters                       shown
    real         the stored image: the ceiling
    with         all, each by its weight        the sample's own conditions
    shuffled     all, each by its weight        the conditions of the sample before: the floor
    without      none: the base model alone
    only-color   one of several, by its weight  the sample's own condition

Invariant: caption, starting noise, sampler and extraction of all of them are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.records import Condition

REAL = "real"
WITH = "with"
SHUFFLED = "shuffled"
WITHOUT = "without"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to a picture."""

    name: str
    """Of its files, and of the data set that these become."""
    title: str
    """For people."""
    weights: tuple[float, ...] = ()
    """How much the features of each adapter count, 0 for one that is left out; none for the base model alone."""
    samples_back: int = 0
    """How far before the sample the one lies whose conditions are shown."""


def variants_of(conditions: Sequence[Condition], weights: Sequence[float]) -> tuple[Variant, ...]:
    """List the variants of adapters for these conditions, in the order of the table's columns."""
    together = tuple(weights)
    alone = [
        Variant(f"only-{condition}", f"{condition} alone", tuple(w if k == n else 0.0 for k, w in enumerate(weights)))
        for n, condition in enumerate(conditions)
    ]
    return (
        Variant(REAL, "real"),
        Variant(WITH, "with adapters" if len(together) > 1 else "with adapter", together),
        Variant(SHUFFLED, "shuffled", together, samples_back=1),
        Variant(WITHOUT, "without"),
        *(alone if len(together) > 1 else ()),
    )


def controls_of(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Pick those that the pictures with the adapters are compared with, pair by pair: without, shuffled, each alone."""
    drawn = [variant for variant in variants if variant.name not in (REAL, WITH)]
    return tuple(sorted(drawn, key=lambda variant: (WITHOUT, SHUFFLED, variant.name).index(variant.name)))
