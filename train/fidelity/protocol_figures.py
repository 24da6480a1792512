"""The figures of a named protocol, of every variant that an evaluation has drawn.

    OUT/pictures ──(drawn, real, caption), one by one──> protocols.figures ──> FID, CLIP-T, CLIP-I by variant

The stored images are judged as well: CLIP-T of real pictures is the ceiling, and their FID and CLIP-I say that nothing
was mixed up. Invariant: one picture of each side is in memory besides the batch of the networks.
"""

from collections.abc import Iterator

from stages.image.decode import decode_stored
from train.fidelity.drawing import member_of
from train.fidelity.held_out import HeldOut
from train.fidelity.pictures import Pictures
from train.fidelity.protocols import EvalProtocol, Judged, Networks, ProtocolFigure, figures
from train.fidelity.variants import REAL, Variant


def judge(
    protocol: EvalProtocol, networks: Networks, pictures: Pictures, held_out: HeldOut
) -> dict[str, dict[str, ProtocolFigure]]:
    """Compute the figures of each variant; raises what `protocols.figures` raises."""
    seed = pictures.drawing.sampler.seed
    return {
        variant.name: figures(protocol, networks, _judged(pictures, held_out, variant), seed)
        for variant in pictures.drawing.variants
    }


def _judged(pictures: Pictures, held_out: HeldOut, variant: Variant) -> Iterator[Judged]:
    for picture in range(held_out.pictures):
        members = pictures.read(picture)
        drawn_hwc, real_hwc = (decode_stored(members[each]) for each in (member_of(variant), f"{REAL}.png"))
        yield Judged(drawn_hwc, real_hwc, members["txt"].decode())
