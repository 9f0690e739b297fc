"""What the readers share: crops, numbers, band names, and the errors of unreadable files."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import Any

import numpy as np
from astropy.io import fits

# What numpy, zipfile and astropy raise on files that are cut short or garbled.
UNREADABLE = (OSError, EOFError, LookupError, TypeError, ValueError, zlib.error, zipfile.BadZipFile, fits.VerifyError)


def crop_centre(image: np.ndarray, size: int) -> np.ndarray:
    """The middle (..., size, size) pixels of (..., S, S); half a pixel low if S is odd."""
    top, left = (image.shape[-2] - size) // 2, (image.shape[-1] - size) // 2
    return image[..., top : top + size, left : left + size]


def number(value: Any) -> float | None:
    """A float; None for a value that is absent or NaN, which both mean: not measured."""
    return None if value is None or np.isnan(value) else float(value)


def band_name(value: Any) -> str | None:
    """The band that "G", "g", "HSC-G", "HSC-R2" and the like mean."""
    match = re.fullmatch(r"(?:HSC[-_]?)?([GRIZY])2?", str(value).strip(), re.IGNORECASE)
    return match.group(1).lower() if match else None
