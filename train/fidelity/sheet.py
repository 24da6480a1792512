"""sheet.png: the conditions and the pictures of the first samples side by side, for people.

color    canny    real    with adapters    shuffled    without    color alone    canny alone
"""

from pathlib import Path

import numpy as np

from stages.image.decode import decode_stored
from train.fidelity.drawing import member_of
from train.fidelity.held_out import HeldOut
from train.fidelity.pictures import Pictures
from train.runs.write_errors import explain_write_errors
from train.sampling.grid import GridRow, draw_grid

SHEET_FILE = "sheet.png"
SHEET_SAMPLES = 8


def write_sheet(out: Path, pictures: Pictures, held_out: HeldOut) -> None:
    """Draw a row for each of the first samples, with the first picture of every variant."""
    drawing = pictures.drawing
    rows = []
    for sample in range(min(SHEET_SAMPLES, held_out.samples)):
        members = pictures.read(held_out.pictures_of(sample)[0])
        drawn = [decode_stored(members[member_of(variant)]) for variant in drawing.variants]
        shown = [adapter.sees(held_out, sample).transpose(1, 2, 0) for adapter in drawing.adapters]
        conditions = [np.broadcast_to(condition_hwc, drawn[0].shape) for condition_hwc in shown]
        rows.append(GridRow((*conditions, *drawn), members["txt"].decode()))
    columns = [adapter.condition for adapter in drawing.adapters] + [variant.title for variant in drawing.variants]
    with explain_write_errors(out / SHEET_FILE):
        draw_grid(columns, rows).save(out / SHEET_FILE)
