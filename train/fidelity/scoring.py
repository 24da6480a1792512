"""The scores of every picture: its extracted conditions against those of its sample.

    for each variant: OUT/<variant> ──members of picture p──┐
                      DATASET ──────members of its sample───┴──each condition's measures──> scores of the sample

Invariant: two samples are in memory at a time; what is kept are a few numbers of each.
"""

from collections.abc import Sequence
from statistics import fmean

from train.fidelity.extraction import Extraction, extracted, members_of
from train.fidelity.measures.measures import Scores


def scores_of(extraction: Extraction) -> dict[str, dict[str, list[Scores]]]:
    """Extract the conditions of every variant's pictures and compare each with the sample's own.

    Returns, by condition and then by variant, the scores of each sample: the means over its pictures.
    """
    held_out = extraction.held_out
    conditions = [str(data.condition.name) for data in held_out.sets]
    scores: dict[str, dict[str, list[Scores]]] = {condition: {} for condition in conditions}
    for variant in extraction.pictures.drawing.variants:
        made = extraction.make(variant)
        places = extracted(made, held_out)
        for condition in conditions:
            scores[condition][variant.name] = []
        for sample in range(held_out.samples):
            truth = held_out.members(sample)
            found = [members_of(made, places[picture]) for picture in held_out.pictures_of(sample)]
            for condition, fidelity in zip(conditions, extraction.fidelities, strict=True):
                scores[condition][variant.name].append(_mean([fidelity.score(truth, each) for each in found]))
    return scores


def _mean(scores: Sequence[Scores]) -> Scores:
    """Average the scores of one sample's pictures; all of them are None if the sample has nothing to measure."""
    measured = [each for each in scores if each is not None]
    return tuple(fmean(values) for values in zip(*measured, strict=True)) if measured else None
