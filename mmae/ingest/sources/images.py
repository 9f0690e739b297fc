"""Images of known sources on the survey's bands and pixels. A pixel that was not observed is NaN.

Shape suffixes: C bands of the survey, P planes of an image in its file, H and W its pixels, S pixels of the survey.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmae.astro.resample import resample_image
from mmae.ingest.readers.observed import crop_or_pad, keep_observed
from mmae.ingest.sources.description import ImageColumns
from mmae.survey.schema import SurveySpec

SAME_SCALE = 0.01  # relative difference of pixel scales that is not resampled: 0.6 pixels over 64


def image_of(values: dict[str, Any], row: int, columns: ImageColumns, spec: SurveySpec) -> np.ndarray | None:
    """The image (C, S, S) float32 of one row, None if it has none; bands that it does not have are NaN.

    Raises:
        ValueError: the image has another form than its description, or fewer pixels than the survey.
    """
    given = values[columns.array][row]
    if given is None:
        return None
    image_PHW = np.asarray(given, np.float32)
    if image_PHW.ndim != 3:
        raise ValueError(f"{columns.array} has shape {image_PHW.shape}, expected three axes")
    if columns.planes == "last":
        image_PHW = np.moveaxis(image_PHW, -1, 0)
    names = plane_bands(values, row, columns)
    if len(names) != len(image_PHW):
        raise ValueError(f"{columns.array} has {len(image_PHW)} planes for the bands {', '.join(map(str, names))}")
    if not set(names) & set(spec.bands):
        raise ValueError(f"none of its bands is one of the survey's, {', '.join(spec.bands)}")
    mask, ivar = (values[name][row] if name and name in values else None for name in (columns.mask, columns.ivar))
    same_scale = has_scale(columns, spec)
    if same_scale:  # cut first: less to do
        _require_size(image_PHW, spec.image_size)
        image_PHW, mask, ivar = (
            None if plane is None else crop_or_pad(np.asarray(plane), spec.image_size)
            for plane in (image_PHW, mask, ivar)
        )
    image_PHW = _observed(image_PHW, mask, ivar, columns.mask_true_is)
    image_CHW = image_PHW
    if names != list(spec.bands):
        missing_HW = np.full(image_PHW.shape[1:], np.nan, np.float32)
        image_CHW = np.stack([image_PHW[names.index(band)] if band in names else missing_HW for band in spec.bands])
    if not same_scale:
        image_CHW = resample_image(image_CHW, columns.pixel_scale, spec.pixel_scale, spec.image_size)
    scale = 10 ** (0.4 * (spec.zero_point - columns.zero_point))
    return image_CHW if scale == 1 else (image_CHW * scale).astype(np.float32)


def has_scale(columns: ImageColumns, spec: SurveySpec) -> bool:
    """Whether images are not resampled, because their pixels have the size of the survey's."""
    return abs(columns.pixel_scale / spec.pixel_scale - 1) <= SAME_SCALE


def plane_bands(values: dict[str, Any], row: int, columns: ImageColumns) -> list[str | None]:
    """The survey's band of each plane of a row; None for planes of no band of the description."""
    if not columns.band or values.get(columns.band) is None:
        return list(columns.bands.values())
    found = np.asarray(values[columns.band][row]).ravel().tolist()
    words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in found]
    known = {name.lower(): band for name, band in columns.bands.items()}
    return [known.get(word.strip("\0 ").lower()) for word in words]


def _observed(image_PHW: np.ndarray, mask: Any, ivar: Any, mask_true_is: str) -> np.ndarray:
    """The image (P, H, W) with NaN at pixels that were not observed.

    Args:
        mask, ivar: (P, H, W), or (H, W) for all bands, or None.
    """
    weights = [] if ivar is None else [np.asarray(ivar)]
    if mask is not None:
        flagged = np.asarray(mask)
        flagged = flagged if flagged.dtype == bool else flagged != 0
        weights.append(flagged if mask_true_is == "good" else ~flagged)
    return keep_observed(image_PHW, weights)


def _require_size(image_PHW: np.ndarray, size: int) -> None:
    smallest = min(image_PHW.shape[-2:])
    if smallest < size:
        raise ValueError(
            f"the image has {image_PHW.shape[-2]} x {image_PHW.shape[-1]} pixels, the survey {size}; give "
            f"--grid.image-size {smallest} or less"
        )
