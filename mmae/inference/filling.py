"""Fill in hidden pixels from the visible ones of the same image: the baseline of reconstructions.

Shape suffixes: N galaxies, C bands, H and W pixels, K annuli.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RING = 2.0  # pixels, width of the annuli of the radial profile


def symmetric(value_NCHW: np.ndarray, shown_NCHW: np.ndarray) -> np.ndarray:
    """Every pixel from the shown one opposite to the centre, else from the radial profile of the shown pixels.

    The profile is the median in each band in annuli of 2 pixels around the centre, interpolated in radius; annuli
    without shown pixels take the value of the nearest ones inside and outside. A band without any is 0.
    """
    offset = np.arange(value_NCHW.shape[-1]) - (value_NCHW.shape[-1] - 1) / 2
    radius_HW = np.hypot(offset[:, None], offset)
    ring_HW = (radius_HW / RING).astype(int)
    opposite_NCHW = shown_NCHW[:, :, ::-1, ::-1]
    result_NCHW = np.where(opposite_NCHW, value_NCHW[:, :, ::-1, ::-1], 0)
    for n in range(len(value_NCHW)):
        for bands, shown_HW in masks_of(shown_NCHW[n]):
            missing_HW = ~shown_HW[::-1, ::-1]
            inside = [shown_HW & (ring_HW == ring) for ring in np.unique(ring_HW[shown_HW])]
            if not inside:
                continue
            middle_K = [radius_HW[one].mean() for one in inside]
            profile_KC = np.array([np.median(value_NCHW[n, bands][:, one], axis=1) for one in inside])
            for band, profile_K in zip(bands, profile_KC.T, strict=True):
                result_NCHW[n, band, missing_HW] = np.interp(radius_HW[missing_HW], middle_K, profile_K)
    return result_NCHW


def masks_of(shown_CHW: np.ndarray) -> Iterator[tuple[list[int], np.ndarray]]:
    """The different masks of one image, and the bands that have them: usually one for all."""
    bands = list(range(len(shown_CHW)))
    if (shown_CHW == shown_CHW[0]).all():
        yield bands, shown_CHW[0]
    else:
        yield from (([band], shown_CHW[band]) for band in bands)
