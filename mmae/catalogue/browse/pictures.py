"""Thumbnails and spectra of galaxies of a survey, small enough for a page.

Shape suffixes: C bands, H and W pixels, L wavelength samples, B bins of a spectrum.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.image import imsave

from mmae.catalogue.survey_rows import FILE, ROW, Measurements, read_measurements, read_survey_rows
from mmae.core.errors import InputError
from mmae.plots.image import is_absent, lupton_rgb, white_level
from mmae.plots.spectrum import flux_range
from mmae.survey.schema import SPLITS, SurveySpec

BINS = 1000  # of a spectrum on a page, at most about
QUALITY = 90  # of the WebP pictures: 2 kB for 64 x 64 pixels


@dataclass(frozen=True)
class Place:
    """Where a galaxy is in the survey, and its redshift there; None: not known."""

    path: str
    row: int
    redshift: float | None


@dataclass(frozen=True)
class Pictures:
    """The survey of a catalogue, and the places of the galaxies of a page by object_id."""

    spec: SurveySpec
    places: Mapping[str, Place]

    def measured(self, object_id: str, columns: Collection[str]) -> Measurements | None:
        """Image and spectrum of a galaxy; None: the survey does not have it."""
        place = self.places.get(object_id)
        return None if place is None else read_measurements(place.path, place.row, self.spec, tuple(columns))

    @property
    def samples_per_bin(self) -> int:
        """Wavelength samples of a bin of `binned`."""
        return max(1, -(-self.spec.n_wavelengths // BINS))


def find_pictures(survey: str, object_ids: Collection[str]) -> Pictures:
    """Find galaxies in a survey.

    Raises:
        InputError: it cannot be read, or has none of them.
    """
    found = read_survey_rows(survey, SPLITS, wanted=["redshift"])
    rows = found.table.filter(pc.is_in(found.table["object_id"], pa.array(object_ids, pa.string()))).to_pylist()
    if not rows:
        raise InputError(f"{survey}: it has none of these galaxies. Give the input of the catalogue.")
    places = {row["object_id"]: Place(found.files[row[FILE]], row[ROW], _known(row.get("redshift"))) for row in rows}
    return Pictures(found.spec, places)


def thumbnail(image_CHW: np.ndarray, spec: SurveySpec) -> str | None:
    """A colour image as the URI of a WebP picture with one pixel for each of the image; None: not observed."""
    if is_absent(image_CHW):
        return None
    rgb_HW3 = lupton_rgb(image_CHW, spec, white_level(image_CHW, spec))
    file = BytesIO()
    imsave(file, rgb_HW3[::-1], format="webp", origin="upper", pil_kwargs={"quality": QUALITY})
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def binned(flux_L: np.ndarray, ivar_L: np.ndarray, samples: int) -> tuple[np.ndarray, tuple[float, float]] | None:
    """Means of the flux in bins of `samples` samples, weighted by ivar, and the range of flux to be drawn.

    Returns:
        flux_B, NaN without data, and the range; None: there is no spectrum.
    """
    good_L = np.isfinite(flux_L) & np.isfinite(ivar_L) & (ivar_L > 0)
    if not good_L.any():
        return None
    weight_L = np.where(good_L, ivar_L, 0.0).astype(float)
    starts = np.arange(0, len(flux_L), samples)
    weight_B = np.add.reduceat(weight_L, starts)
    signal_B = np.add.reduceat(weight_L * np.where(good_L, flux_L, 0.0), starts)
    known_B = weight_B > 0
    safe_B = np.where(known_B, weight_B, 1.0)
    flux_B, error_B = np.where(known_B, signal_B / safe_B, np.nan), np.where(known_B, safe_B**-0.5, np.nan)
    return flux_B, flux_range(flux_B, error_B)


def _known(redshift: float | None) -> float | None:
    return redshift if redshift is not None and np.isfinite(redshift) else None
