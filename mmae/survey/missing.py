"""Missing pixels of an image. A pixel that was not observed is NaN, in all files, rows and batches.

Shape suffixes: C bands, H and W pixels.
"""

from __future__ import annotations

import numpy as np

MAX_MISSING = 0.5  # default limit of readers: at the edge of an image, the galaxy at the centre is still inside


def missing_by_band(image_CHW: np.ndarray) -> np.ndarray:
    """The fraction (C,) of the pixels of each band that are missing."""
    return np.array([np.count_nonzero(np.isnan(image_HW)) / image_HW.size for image_HW in image_CHW])


def missing_fraction(image_CHW: np.ndarray) -> float:
    """The fraction of missing pixels in the bands that have any data; 1 if no band has.

    Whole missing bands do not count: an image in one complete band of five can be used.
    """
    return _of_observed_bands(missing_by_band(image_CHW))


def _of_observed_bands(missing_C: np.ndarray) -> float:
    observed = missing_C < 1
    return float(missing_C[observed].mean()) if observed.any() else 1.0


def missing_fault(image_CHW: np.ndarray, most: float) -> str:
    """The reason why an image is rejected for its missing pixels; empty if it is accepted.

    Args:
        most: largest accepted `missing_fraction`.
    """
    missing_C = missing_by_band(image_CHW)
    if (missing_C == 1).all():
        return "no pixel was observed in any band"
    fraction = _of_observed_bands(missing_C)
    if fraction <= most:
        return ""
    return f"{fraction:.0%} of the pixels in the observed bands are missing, more than the {most:.0%} allowed"
