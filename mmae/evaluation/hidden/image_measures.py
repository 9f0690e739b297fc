"""What is measured on each image whose hidden pixels were filled in, by a model or by a baseline.

Hidden pixels are those that were observed and hidden from the model. Filled: the observed image where visible, the
reconstruction elsewhere. Fluxes are of the hidden pixels alone.

Shape suffixes: N galaxies, C bands, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mmae.evaluation.hidden.normalised import mean_of, normalise
from mmae.evaluation.hidden.seams import seam_jumps
from mmae.evaluation.images.compare import shape_band
from mmae.evaluation.images.photometry import OUTER, aperture_weights
from mmae.evaluation.images.shapes import NO_SHAPE, adaptive_moments, half_light_radius
from mmae.survey.schema import SurveySpec

CENTRE = 0.5  # arcsec, radius of the central aperture: about the seeing's FWHM across


@dataclass(frozen=True)
class FilledMeasures:
    """N galaxies.

    Attributes:
        mse_N: mean squared error of hidden pixels in normalised units; NaN without any.
        across_N, beside_N: mean absolute jump across borders of hidden patches, and one pixel beside, in normalised
            units; of the reconstruction alone.
        flux_NC: counts of the hidden pixels within 3 arcsec.
        centre_N: counts of the hidden pixels within 0.5 arcsec, in the shape band.
        radius_N: half-light radius of the filled image in the shape band, arcsec.
        g1_N, g2_N: its reduced shear; NaN also where it was not measured.
    """

    mse_N: np.ndarray
    across_N: np.ndarray
    beside_N: np.ndarray
    flux_NC: np.ndarray
    centre_N: np.ndarray
    radius_N: np.ndarray
    g1_N: np.ndarray
    g2_N: np.ndarray

    def __len__(self) -> int:
        return len(self.mse_N)

    def chosen(self, which_N: np.ndarray) -> FilledMeasures:
        """The galaxies selected by a mask or by indices."""
        return FilledMeasures(*(getattr(self, f.name)[which_N] for f in fields(self)))


@dataclass(frozen=True)
class Masked:
    """Observed images under one mask.

    Attributes:
        observed_NCHW: counts; NaN where not observed.
        visible_NHW: pixels visible to the model, observed or not.
        patch: side of the masked patches, pixels.
    """

    observed_NCHW: np.ndarray
    visible_NHW: np.ndarray
    patch: int
    spec: SurveySpec

    def __len__(self) -> int:
        return len(self.observed_NCHW)

    @property
    def hidden_NCHW(self) -> np.ndarray:
        return ~self.visible_NHW[:, None] & np.isfinite(self.observed_NCHW)

    @property
    def shown_NCHW(self) -> np.ndarray:
        """Pixels that are observed and visible."""
        return self.visible_NHW[:, None] & np.isfinite(self.observed_NCHW)

    def hidden_area(self, radius: float) -> np.ndarray:
        """Hidden fraction (N,) of the area within `radius` arcsec of the centre, in the shape band."""
        weight_HW = aperture_weights(radius, self.spec.image_size, self.spec.pixel_scale)
        return np.einsum("nhw,hw->n", self.hidden_NCHW[:, band_of(self.spec)], weight_HW) / weight_HW.sum()

    def hidden_noise(self) -> np.ndarray:
        """Background noise (N,C) of the flux of hidden pixels within 3 arcsec, counts."""
        weight_HW = aperture_weights(OUTER, self.spec.image_size, self.spec.pixel_scale)
        area_NC = np.einsum("nchw,hw->nc", self.hidden_NCHW, weight_HW**2)
        return np.sqrt(area_NC) * np.asarray(self.spec.band_noise)

    def measure(self, image_NCHW: np.ndarray, shaped_N: np.ndarray) -> FilledMeasures:
        """Measures of a reconstruction in counts; the observed image itself gives the reference values.

        Args:
            shaped_N: galaxies whose shape is measured (a millisecond each).
        """
        spec, hidden_NCHW, band = self.spec, self.hidden_NCHW, band_of(self.spec)
        value_NCHW = normalise(image_NCHW, spec)
        across_N, beside_N = seam_jumps(value_NCHW, hidden_NCHW, self.patch)
        outer_HW, centre_HW = (aperture_weights(r, spec.image_size, spec.pixel_scale) for r in (OUTER, CENTRE))
        light_NCHW = np.where(hidden_NCHW, image_NCHW, 0)
        filled_NHW = np.where(self.shown_NCHW[:, band], self.observed_NCHW[:, band], image_NCHW[:, band])
        g_N2 = np.array(
            [
                (adaptive_moments(image_HW, spec) if shaped else NO_SHAPE)[1:]
                for image_HW, shaped in zip(filled_NHW, shaped_N, strict=True)
            ]
        ).reshape(-1, 2)
        return FilledMeasures(
            mean_of((value_NCHW - normalise(self.observed_NCHW, spec)) ** 2, hidden_NCHW),
            across_N,
            beside_N,
            np.einsum("nchw,hw->nc", light_NCHW, outer_HW, dtype=np.float64),
            np.einsum("nhw,hw->n", light_NCHW[:, band], centre_HW, dtype=np.float64),
            half_light_radius(filled_NHW.astype(np.float64), spec),
            g_N2[:, 0],
            g_N2[:, 1],
        )


def band_of(spec: SurveySpec) -> int:
    """Index of the band of sizes and shapes."""
    return spec.bands.index(shape_band(spec))


def join_measures(parts: Sequence[FilledMeasures]) -> FilledMeasures:
    """Concatenate the measures of several batches."""
    return FilledMeasures(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(FilledMeasures)))
