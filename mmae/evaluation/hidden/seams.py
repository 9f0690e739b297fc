"""Seams of a reconstruction: jumps across the borders of patches against jumps one pixel beside them.

Shape suffixes: N galaxies, C bands, H and W pixels, B borders.
"""

from __future__ import annotations

import numpy as np


def seam_jumps(value_NCHW: np.ndarray, hidden_NCHW: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute jump (N,) across borders of hidden patches, and between the pixels one pixel beside them.

    A border counts where two pixels on both of its sides are hidden; beside it are the pixel pairs inside each of the
    two patches. NaN for a galaxy without such a border.

    Args:
        value_NCHW: image in normalised units.
        hidden_NCHW: pixels that were hidden and observed.
        patch: side of a patch in pixels, 3 or more.
    """
    across_N, beside_N, pairs_N = (np.zeros(len(value_NCHW)) for _ in range(3))
    for turned in (False, True):
        image_NCHW, used_NCHW = (x.swapaxes(2, 3) if turned else x for x in (value_NCHW, hidden_NCHW))
        last_B = np.arange(patch - 1, image_NCHW.shape[3] - 1, patch)  # the last pixel before each border
        used_NCHB = np.all([used_NCHW[..., last_B + step] for step in (-1, 0, 1, 2)], axis=0)
        jump_NCHW = np.abs(np.diff(image_NCHW, axis=3))

        def total(first_B: np.ndarray, jump_NCHW=jump_NCHW, used_NCHB=used_NCHB) -> np.ndarray:
            return np.where(used_NCHB, jump_NCHW[..., first_B], 0).sum((1, 2, 3), dtype=np.float64)

        across_N += total(last_B)
        beside_N += 0.5 * (total(last_B - 1) + total(last_B + 1))
        pairs_N += used_NCHB.sum((1, 2, 3))
    pairs_N[pairs_N == 0] = np.nan
    return across_N / pairs_N, beside_N / pairs_N
