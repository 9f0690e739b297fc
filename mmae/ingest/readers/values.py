"""Common functions of the readers: numbers, band names, and the exceptions of unreadable files."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import Any

import numpy as np
from astropy.io import fits

from mmae.astro.missing import is_sentinel

# Raised by numpy, zipfile and astropy for truncated or corrupt files.
UNREADABLE = (OSError, EOFError, LookupError, TypeError, ValueError, zlib.error, zipfile.BadZipFile, fits.VerifyError)


def number(value: Any) -> float | None:
    """The value as float; None if it is None or NaN (not measured)."""
    return None if value is None or np.isnan(value) else float(value)


def is_label(z_N: np.ndarray) -> np.ndarray:
    """Mask (N,) of redshifts; not those that are NaN or mean "missing", such as -99."""
    return np.isfinite(z_N) & (z_N > -1) & ~is_sentinel(z_N, positive=True)


def band_name(value: Any) -> str | None:
    """The band of names such as "G", "g", "HSC-G" and "HSC-R2"; None for others."""
    match = re.fullmatch(r"(?:HSC[-_]?)?([GRIZY])2?", str(value).strip(), re.IGNORECASE)
    return match.group(1).lower() if match else None


def text_of(value: Any) -> str:
    """A value as text; "" if there is none. Bytes are decoded, also those that were written as text: "b'17'"."""
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    written = re.fullmatch(r"b(['\"])(.*)\1", text.strip())
    return (written.group(2) if written else text).strip("\0 ")
