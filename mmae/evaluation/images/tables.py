"""The tables of the section on images.

Shape suffixes: N galaxies, C bands.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.images import errors
from mmae.evaluation.images.compare import COMPOSITE, RECONSTRUCTION, VERSIONS, ImageMeasures, shape_band
from mmae.evaluation.images.errors import Robust, RobustScore
from mmae.evaluation.images.photometry import APERTURES, INNER, OUTER
from mmae.evaluation.images.pixels import EVERYWHERE, REGIONS, decibel
from mmae.metrics.bootstrap import rate_score
from mmae.report.contents import Cell, Table
from mmae.survey.schema import SurveySpec

MADE = (COMPOSITE, RECONSTRUCTION)
MAGNITUDE_EDGES = np.arange(15.0, 25.01, 1.0)
# The four patches around the middle hold most of the inner aperture: shares are near quarters.
HIDDEN_EDGES = (0.0, 0.375, 0.625, 0.875, 1.0)
LEAST_GALAXIES = 20  # in a bin
MAG_PER_NOISE = 2.5 / np.log(10)  # error of a magnitude times its S/N
POINT_SOURCE, EXTENDED, UNKNOWN = "point source", "extended", "unknown type"
SCORES = (
    "n",
    "median [mag]",
    "error",
    "NMAD [mag]",
    "error of NMAD",
    f"|error| > {errors.MAGNITUDE_LIMIT:g} mag [%]",
    "error of that [%]",
)


def residual_table(measured: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Residuals of hidden pixels in units of the noise, the median galaxy."""
    rows: list[tuple[Cell, ...]] = []
    for g, region in enumerate(REGIONS):
        for c, band in enumerate(spec.bands):
            values = [values_NGC[:, g, c] for values_NGC in (measured.nmad_NGC, measured.rms_NGC, measured.chi2_NGC)]
            known_N = np.isfinite(measured.empty_rms_NGC[:, g, c])
            medians = [score(value_N[known_N], np.inf).median for value_N in values]
            offset = score(measured.median_NGC[known_N, g, c], np.inf).median
            rows.append(
                (
                    region,
                    band,
                    int(known_N.sum()),
                    offset.value,
                    offset.error,
                    *(x for median in medians for x in (median.value, median.error)),
                    _median(measured.empty_rms_NGC[known_N, g, c]),
                )
            )
    return Table(
        "residuals",
        "Reconstructed minus observed, hidden pixels, in units of the background noise",
        (
            "pixels",
            "band",
            "n",
            "median",
            "error",
            "NMAD",
            "error of NMAD",
            "RMS",
            "error of RMS",
            "chi2 per pixel",
            "error of chi2",
            "RMS of an empty image",
        ),
        tuple(rows),
        note="Each galaxy by itself, then the median of the galaxies. A perfect model without noise has NMAD, RMS and "
        "chi2 of 1. Most hidden pixels are sky, where an empty image does as well: compare the RMS with its. chi2 "
        "counts photon noise too, with the gain of HSC's wide layer (good to some 30% for real images).",
    )


def psnr_table(measured: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Peak signal to noise ratio of hidden pixels."""
    everywhere = REGIONS.index(EVERYWHERE)
    made_NC = decibel(measured.peak_NC, measured.rms_NGC[:, everywhere])
    empty_NC = decibel(measured.peak_NC, measured.empty_rms_NGC[:, everywhere])
    best_NC = decibel(measured.peak_NC, np.ones(1))
    rows = []
    for c, band in enumerate(spec.bands):
        known_N = np.isfinite(empty_NC[:, c])
        psnr = score(made_NC[known_N, c], np.inf)
        rows.append(
            (
                band,
                int(known_N.sum()),
                psnr.median.value,
                psnr.median.error,
                psnr.nmad.value,
                _median(best_NC[known_N, c]),
                _median(empty_NC[known_N, c]),
            )
        )
    return Table(
        "psnr",
        "Peak signal to noise ratio, all hidden pixels [dB]",
        ("band", "n", "median", "error", "NMAD", "perfect model", "empty image"),
        tuple(rows),
        note="20 log10(peak / RMS residual), peak: the brightest pixel of that galaxy's observed image in "
        "that band. The usual peak is the largest value of the data type (Huynh-Thu & Ghanbari "
        "2008), which fluxes do not have. A perfect model leaves the background noise.",
    )


def magnitude_table(measured: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of aperture magnitudes, by version, aperture and band."""
    rows: list[tuple[Cell, ...]] = []
    for version in MADE:
        for radius in APERTURES:
            error_NC = errors.magnitude_errors(measured, version, radius)
            test_NC = errors.usable_flux(measured, spec, radius)
            snr_NC = errors.observed_snr(measured, spec, radius)
            for c, band in enumerate(spec.bands):
                test_N = test_NC[:, c]
                found = score(error_NC[test_N, c], errors.MAGNITUDE_LIMIT)
                noise = MAG_PER_NOISE / _median(snr_NC[test_N, c])
                rows.append((version, _radius(radius), band, *_cells(found), noise))
    return Table(
        "magnitudes",
        "Reconstructed minus observed magnitude",
        ("image", "aperture", "band", *SCORES, "noise [mag]"),
        tuple(rows),
        note=f"Galaxies observed with a S/N of {errors.LEAST_SNR:g} in band and aperture of which something "
        f"in it was hidden; {_radius(OUTER)} hold nearly all the light of most. A flux that is not "
        f"positive is an outlier. Noise: of the observed magnitude, from the background, median.",
    )


def colour_table(measured: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of the colours of adjacent bands in the inner aperture."""
    rows: list[tuple[Cell, ...]] = []
    test_NC = errors.usable_colour(measured, spec, INNER)
    for version in MADE:
        error_NC = errors.colour_errors(measured, version, INNER)
        for c, (blue, red) in enumerate(pairwise(spec.bands)):
            found = score(error_NC[test_NC[:, c], c], errors.MAGNITUDE_LIMIT)
            rows.append((version, f"{blue}-{red}", *_cells(found)))
    return Table(
        "colours",
        f"Reconstructed minus observed colour, within {_radius(INNER)}",
        ("image", "colour", *SCORES),
        tuple(rows),
    )


def by_magnitude_table(measured: ImageMeasures, catalogue: Catalogue, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of the composite's magnitude in the outer aperture and of the colour to the next band."""
    band = shape_band(spec)
    c = spec.bands.index(band)
    mag_N = catalogue.magnitude(band)
    error_N = errors.magnitude_errors(measured, COMPOSITE, OUTER)[:, c]
    test_N = errors.usable_flux(measured, spec, OUTER)[:, c]
    rows = []
    for low, high in pairwise(MAGNITUDE_EDGES):
        inside_N = test_N & (mag_N >= low) & (mag_N < high)
        if inside_N.sum() >= LEAST_GALAXIES:
            rows.append((f"{low:g} to {high:g}", *_cells(score(error_N[inside_N], errors.MAGNITUDE_LIMIT))))
    return Table(
        "by_magnitude",
        f"Composite minus observed {band} magnitude within {_radius(OUTER)}, by magnitude",
        (f"catalogue {band} [mag]", *SCORES),
        tuple(rows),
        note=f"Bins of {LEAST_GALAXIES} galaxies and more.",
    )


def by_hidden_table(measured: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of the composite's magnitude in the inner aperture by how much of it was hidden."""
    band = shape_band(spec)
    c = spec.bands.index(band)
    error_N = errors.magnitude_errors(measured, COMPOSITE, INNER)[:, c]
    test_N, hidden_N = errors.usable_flux(measured, spec, INNER)[:, c], measured.hidden_NA[:, APERTURES.index(INNER)]
    rows = []
    for low, high in pairwise(HIDDEN_EDGES):
        inside_N = test_N & (hidden_N > low) & (hidden_N <= high)
        if inside_N.sum() >= LEAST_GALAXIES:
            rows.append((f"{low:g} to {high:g}", *_cells(score(error_N[inside_N], errors.MAGNITUDE_LIMIT))))
    return Table(
        "by_hidden",
        f"Composite minus observed {band} magnitude within {_radius(INNER)}, by what was hidden",
        ("hidden share of the aperture", *SCORES),
        tuple(rows),
        note=f"Bins of {LEAST_GALAXIES} galaxies and more. With all hidden, the light is inferred from the "
        f"outskirts alone.",
    )


def shape_table(measured: ImageMeasures, catalogue: Catalogue, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of size and shape, by version and type of the galaxy."""
    limits = {
        errors.RADIUS: errors.SIZE_LIMIT,
        errors.SIZE: errors.SIZE_LIMIT,
        errors.G1: errors.SHEAR_LIMIT,
        errors.G2: errors.SHEAR_LIMIT,
    }
    kind_N, test_N, has = kinds(catalogue), errors.usable_shape(measured, spec), errors.observed_shape(measured)
    rows: list[tuple[Cell, ...]] = []
    for version in MADE:
        error = errors.shape_errors(measured, version)
        for kind in (EXTENDED, POINT_SOURCE, UNKNOWN):
            of_kind_N = test_N & (kind_N == kind)
            if of_kind_N.any():
                rows += [
                    (version, kind, name, *_cells(score(error[name][of_kind_N & has[name]], limits[name])))
                    for name in errors.QUANTITIES
                ]
    return Table(
        "shapes",
        f"Reconstructed minus observed size and shape in {shape_band(spec)}",
        (
            "image",
            "type",
            "quantity",
            "n",
            "median",
            "error",
            "NMAD",
            "error of NMAD",
            "outliers [%]",
            "error of outliers [%]",
        ),
        tuple(rows),
        note=f"Galaxies observed with a S/N of {errors.SHAPE_SNR:g} of which something within {_radius(OUTER)} was "
        f"hidden. Half-light radius of the light within {_radius(OUTER)}; size and reduced shear g from "
        f"adaptive moments (Hirata & Seljak 2003), seeing included. Outliers: beyond {errors.SIZE_LIMIT:g} in "
        f"ln(size), {errors.SHEAR_LIMIT:g} in g, or not measurable where the observed image is.",
    )


def failure_table(measured: ImageMeasures, spec: SurveySpec) -> Table:
    """How often adaptive moments fail on each version of the image."""
    failed_NV = ~np.isfinite(measured.size_NV[errors.usable_shape(measured, spec)])
    rows = []
    for v, version in enumerate(VERSIONS):
        failed = rate_score(failed_NV[:, v])
        rows.append((version, failed.n, 100 * failed.value, 100 * failed.error))
    return Table(
        "failures",
        "Adaptive moments that do not converge or leave the middle",
        ("image", "n", "failed [%]", "error [%]"),
        tuple(rows),
    )


def kinds(catalogue: Catalogue) -> np.ndarray:
    """Point source, extended or unknown type (N,), from the Tractor's type."""
    type_N = catalogue.morphtype_N
    return np.where(type_N == "PSF", POINT_SOURCE, np.where(type_N == "", UNKNOWN, EXTENDED))


def _cells(found: Robust) -> tuple[Cell, ...]:
    return (
        found.outliers.n,
        found.median.value,
        found.median.error,
        found.nmad.value,
        found.nmad.error,
        100 * found.outliers.value,
        100 * found.outliers.error,
    )


def _median(values_N: np.ndarray) -> float:
    return float(np.median(values_N)) if values_N.size else np.nan


def _radius(radius: float) -> str:
    return f"{radius:g} arcsec"
