"""Which pixels of an image were observed by its weights and masks. All readers decide it here; others become NaN.

Mask planes are as in HSC and Rubin files (https://pipelines.lsst.io): one bit per kind, its number in MP_<kind>.

Shape suffixes: X bands, or none; H and W pixels of a cutout, S pixels of an image before cropping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmae.astro.observed import nan_where_unobserved

NO_DATA = "NO_DATA"


def keep_observed(
    image_XHW: np.ndarray, weights: Sequence[np.ndarray] = (), masks: Sequence[tuple[np.ndarray, int]] = ()
) -> np.ndarray:
    """The image of one band (H, W) or of several (C, H, W) with NaN at pixels that were not observed.

    A pixel was observed if it is finite, its weights are positive and none of the given bits is set in its masks; a
    band that is zero in all these pixels was not (`nan_where_unobserved`).

    Args:
        weights: weights or inverse variances, (H, W) or as the image; 0, negative or NaN: not observed.
        masks: integers, (H, W) or as the image, and the bits that mean "not observed" as one number.
    """
    observed_XHW = np.ones(image_XHW.shape, bool)
    for weight_XHW in weights:
        # A mask of true and false as it is: numpy would convert it to compare it with a number. False for NaN.
        observed_XHW &= weight_XHW if weight_XHW.dtype == bool else weight_XHW > 0
    for mask_XHW, bits in masks:
        observed_XHW &= np.where(np.isfinite(mask_XHW), mask_XHW, 0).astype(np.int64) & bits == 0
    return nan_where_unobserved(image_XHW, observed_XHW)


def crop_or_pad(image_SS: np.ndarray, size: int) -> np.ndarray:
    """The central (..., size, size) pixels of (..., S, S); half a pixel low if S is odd. NaN beyond its ends."""
    height, width = image_SS.shape[-2:]
    top, left = (height - size) // 2, (width - size) // 2
    inside = image_SS[..., max(top, 0) : max(top, 0) + size, max(left, 0) : max(left, 0) + size]
    if inside.shape[-2:] == (size, size):
        return inside
    whole = np.full((*image_SS.shape[:-2], size, size), np.nan, np.result_type(image_SS.dtype, np.float32))
    whole[..., max(-top, 0) : max(-top, 0) + height, max(-left, 0) : max(-left, 0) + width] = inside
    return whole


def mask_bits(header: Mapping[str, Any], kinds: Sequence[str]) -> int:
    """The bits of a mask plane that mean "not observed", as one number.

    Args:
        header: with the number of each bit in MP_<kind>.
        kinds: such as NO_DATA, SAT, BAD. NO_DATA may be absent: some masks have no such bit.

    Raises:
        ValueError: the mask has none of another kind.
    """
    bits = 0
    for kind in kinds:
        number = header.get(f"MP_{kind.upper()}")
        if number is not None:
            bits |= 1 << int(number)
        elif kind.upper() != NO_DATA:
            known = ", ".join(sorted(key.removeprefix("MP_") for key in header if key.startswith("MP_")))
            raise ValueError(f"the mask has no bit {kind}, found {known or 'none'}; change --pair.mask-bits")
    return bits
