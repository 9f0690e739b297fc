"""Which pixels of an image were observed. Readers and predictions decide it by this one rule.

Shape suffixes: X bands, galaxies or both, none or several axes; H and W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def nan_where_unobserved(image_XHW: np.ndarray, observed_XHW: ArrayLike = True) -> np.ndarray:
    """The images (..., H, W) with NaN at pixels that were not observed.

    A pixel was observed if it is finite and in the mask. A band that is zero in all these pixels was not observed:
    real sky has noise.

    Args:
        observed_XHW: mask of the shape of the images, or one that can be broadcast to it.
    """
    seen_XHW = np.isfinite(image_XHW) & observed_XHW
    nonzero_XHW = (image_XHW != 0) & seen_XHW
    seen_XHW &= nonzero_XHW.any(axis=(-2, -1), keepdims=True)
    kept_XHW = image_XHW.astype(np.result_type(image_XHW.dtype, 0.0))
    np.copyto(kept_XHW, np.nan, where=~seen_XHW)  # half the time of np.where
    return kept_XHW
