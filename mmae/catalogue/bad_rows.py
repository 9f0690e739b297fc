"""Rows that cannot be used: what is wrong with them, and where they are listed.

A modality that cannot be used is taken as absent, and the galaxy is kept if it has another one. A galaxy without
position or without any usable modality is not in the catalogue. Both are listed with their reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from torch import Tensor

from mmae.astro.healpix import on_sky
from mmae.model.batch import Batch
from mmae.survey.schema import Rejection

ROW = "row"  # the field of a rejection of the whole row
SCHEMA = pa.schema([(name, pa.string()) for name in ("object_id", "where", "field", "reason")])


@dataclass
class Checked:
    """Which rows of a batch can be used, and what was rejected."""

    usable_B: np.ndarray  # bool
    rejections: list[Rejection] = field(default_factory=list)


def check_positions(table: pa.Table, where: Sequence[str]) -> Checked:
    """Rows with an object_id and a position on the sky."""
    ra_B, dec_B = (table[name].cast(pa.float64()).to_numpy() for name in ("ra", "dec"))  # null: NaN
    named_B = table["object_id"].is_valid().to_numpy()
    placed_B = on_sky(ra_B, dec_B)
    found = Checked(named_B & placed_B)
    ids = table["object_id"].to_pylist()
    for i in np.flatnonzero(~found.usable_B).tolist():
        reason = "object_id is missing" if not named_B[i] else f"position {ra_B[i]}, {dec_B[i]} is not on the sky"
        found.rejections.append(Rejection(str(ids[i]), where[i], ROW, reason))
    return found


def check_measurements(batch: Batch, modalities: Sequence[str], where: Sequence[str]) -> Checked:
    """Rows with a usable modality; the others of a galaxy are marked as absent in `batch`, and zero-filled."""
    faults = {"image": _image_faults, "spectrum": _spectrum_faults}
    found = Checked(np.zeros(len(batch), bool))
    for name in modalities:
        for i, reason in faults[name](batch).items() if name in faults else ():
            found.rejections.append(Rejection(str(batch.object_id[i]), where[i], name, reason))
            batch.present[name][i] = False
            for value in ("image",) if name == "image" else ("flux", "ivar"):
                batch.values[value][i] = 0.0
        found.usable_B |= batch.present[name].numpy()
    for i in np.flatnonzero(~found.usable_B).tolist():
        reason = f"no usable {' or '.join(modalities)}"
        found.rejections.append(Rejection(str(batch.object_id[i]), where[i], ROW, reason))
    return found


def to_table(rejections: Sequence[Rejection]) -> pa.Table:
    """Rejections as rows of the file that lists them."""
    return pa.Table.from_pylist([vars(r) for r in rejections], SCHEMA)


def _image_faults(batch: Batch) -> dict[int, str]:
    """Reasons by row, as in mmae/survey/schema.py."""
    image_BX = batch.image_BCHW.flatten(1)
    total_B = image_BX.abs().sum(1)  # faster than looking at every pixel: most images are complete
    row_B = (batch.present["image"] & ~(total_B.isfinite() & (total_B > 0))).nonzero()[:, 0]
    image_BX = image_BX[row_B]
    infinite_B = image_BX.isinf().any(1)
    nothing_B = ~(image_BX.isfinite() & (image_BX != 0)).any(1) & ~infinite_B
    return _reasons(
        row_B, (infinite_B, "pixels are infinite"), (nothing_B, "no pixel was observed: all are NaN or zero")
    )


def _spectrum_faults(batch: Batch) -> dict[int, str]:
    total_B = batch.ivar_BL.sum(1)
    good_B = total_B.isfinite() & (total_B > 0) & (batch.ivar_BL.amin(1) >= 0) & batch.flux_BL.sum(1).isfinite()
    row_B = (batch.present["spectrum"] & ~good_B).nonzero()[:, 0]
    ivar_BL, flux_BL = batch.ivar_BL[row_B], batch.flux_BL[row_B]
    wrong_B = (~ivar_BL.isfinite() | (ivar_BL < 0)).any(1)
    empty_B = ~(ivar_BL > 0).any(1) & ~wrong_B
    flux_B = (~flux_BL.isfinite() & (ivar_BL > 0)).any(1) & ~wrong_B & ~empty_B
    return _reasons(
        row_B,
        (wrong_B, "ivar has NaN, infinite or negative samples"),
        (empty_B, "ivar is zero everywhere: no good pixel"),
        (flux_B, "flux is NaN or infinite where ivar is positive"),
    )


def _reasons(row_B: Tensor, *faults: tuple[Tensor, str]) -> dict[int, str]:
    """Reasons by row of the batch.

    Args:
        row_B: rows that were looked at.
    """
    return {i: reason for fault_B, reason in faults for i in row_B[fault_B].tolist()}
