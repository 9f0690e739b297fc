"""Tables of the section on images.

Shape suffixes: N galaxies, C bands.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.cells import measured
from mmae.evaluation.images import errors
from mmae.evaluation.images.compare import COMPOSITE, RECONSTRUCTION, VERSIONS, ImageMeasures, shape_band
from mmae.evaluation.images.errors import Robust, RobustScore
from mmae.evaluation.images.photometry import APERTURES, INNER, OUTER
from mmae.evaluation.images.pixels import EVERYWHERE, REGIONS, decibel
from mmae.metrics.bootstrap import rate_score
from mmae.report.contents import Cell, Column, Table
from mmae.survey.schema import SurveySpec

MODEL_VERSIONS = (COMPOSITE, RECONSTRUCTION)
MAGNITUDE_EDGES = np.arange(15.0, 25.01, 1.0)
# The four central patches cover most of the inner aperture: fractions are close to multiples of 1/4.
HIDDEN_EDGES = (0.0, 0.375, 0.625, 0.875, 1.0)
MIN_GALAXIES = 20  # per bin
MAG_PER_NOISE = 2.5 / np.log(10)  # magnitude error = this / (S/N)
POINT_SOURCE, EXTENDED, UNKNOWN = "point source", "extended", "unknown type"
N, IMAGE, BAND = Column("n"), Column("image"), Column("band")
SCORES = (
    N,
    Column("median_mag", "median [mag]"),
    Column("nmad_mag", "NMAD [mag]"),
    Column("outliers_percent", f"|error| > {errors.MAGNITUDE_LIMIT:g} mag [%]"),
)


def residual_table(measures: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Residuals of hidden pixels in units of the noise: medians over galaxies."""
    rows: list[tuple[Cell, ...]] = []
    for g, region in enumerate(REGIONS):
        for c, band in enumerate(spec.bands):
            values = [values_NGC[:, g, c] for values_NGC in (measures.nmad_NGC, measures.rms_NGC, measures.chi2_NGC)]
            known_N = np.isfinite(measures.empty_rms_NGC[:, g, c])
            medians = [score(value_N[known_N], np.inf).median for value_N in values]
            offset = score(measures.median_NGC[known_N, g, c], np.inf).median
            rows.append(
                (
                    region,
                    band,
                    int(known_N.sum()),
                    *map(measured, (offset, *medians)),
                    _median(measures.empty_rms_NGC[known_N, g, c]),
                )
            )
    return Table(
        "residuals",
        "Reconstructed minus observed, masked pixels, in units of the background noise",
        (
            *(Column("pixels"), BAND, N, Column("median"), Column("nmad", "NMAD"), Column("rms", "RMS")),
            Column("chi2_per_pixel", "chi2 per pixel"),
            Column("empty_image_rms", "RMS of an empty image"),
        ),
        tuple(rows),
        note="Computed per galaxy, then the median over galaxies. A perfect, noise-free model has NMAD, RMS and "
        "chi2 of 1. Most masked pixels are sky, where an empty image is as good: compare the RMS with that of the "
        "empty image. chi2 includes photon noise, with the gain of HSC's wide layer (accurate to about 30% for real "
        "images).",
    )


def psnr_table(measures: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Peak signal-to-noise ratio of hidden pixels."""
    everywhere = REGIONS.index(EVERYWHERE)
    made_NC = decibel(measures.peak_NC, measures.rms_NGC[:, everywhere])
    empty_NC = decibel(measures.peak_NC, measures.empty_rms_NGC[:, everywhere])
    best_NC = decibel(measures.peak_NC, np.ones(1))
    rows = []
    for c, band in enumerate(spec.bands):
        known_N = np.isfinite(empty_NC[:, c])
        psnr = score(made_NC[known_N, c], np.inf)
        rows.append(
            (
                band,
                int(known_N.sum()),
                measured(psnr.median),
                psnr.nmad.value,
                _median(best_NC[known_N, c]),
                _median(empty_NC[known_N, c]),
            )
        )
    return Table(
        "psnr",
        "Peak signal-to-noise ratio, all masked pixels [dB]",
        (BAND, N, Column("median"), Column("nmad", "NMAD"), Column("perfect_model"), Column("empty_image")),
        tuple(rows),
        note="20 log10(peak / RMS residual), peak: the brightest pixel of the galaxy's observed image in "
        "the band. The usual peak is the largest value of the data type (Huynh-Thu & Ghanbari "
        "2008), which does not exist for fluxes. The residual of a perfect model is the background noise.",
    )


def magnitude_table(measures: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of aperture magnitudes, by version, aperture and band."""
    rows: list[tuple[Cell, ...]] = []
    for version in MODEL_VERSIONS:
        for radius in APERTURES:
            error_NC = errors.magnitude_errors(measures, version, radius)
            test_NC = errors.usable_flux(measures, spec, radius)
            snr_NC = errors.observed_snr(measures, spec, radius)
            for c, band in enumerate(spec.bands):
                test_N = test_NC[:, c]
                found = score(error_NC[test_N, c], errors.MAGNITUDE_LIMIT)
                noise = MAG_PER_NOISE / _median(snr_NC[test_N, c])
                rows.append((version, _radius(radius), band, *_cells(found), noise))
    return Table(
        "magnitudes",
        "Reconstructed minus observed magnitude",
        (IMAGE, Column("aperture"), BAND, *SCORES, Column("noise_mag", "noise [mag]")),
        tuple(rows),
        note=f"Galaxies observed at S/N {errors.MIN_SNR:g} or more in band and aperture, with part of the aperture "
        f"masked; {_radius(OUTER)} contain nearly all the light of most galaxies. A flux that is not "
        f"positive is an outlier. Noise: median error of the observed magnitude from the background noise.",
    )


def colour_table(measures: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of the colours of adjacent bands in the inner aperture."""
    rows: list[tuple[Cell, ...]] = []
    test_NC = errors.usable_colour(measures, spec, INNER)
    for version in MODEL_VERSIONS:
        error_NC = errors.colour_errors(measures, version, INNER)
        for c, (blue, red) in enumerate(pairwise(spec.bands)):
            found = score(error_NC[test_NC[:, c], c], errors.MAGNITUDE_LIMIT)
            rows.append((version, f"{blue}-{red}", *_cells(found)))
    return Table(
        "colours",
        f"Reconstructed minus observed colour, within {_radius(INNER)}",
        (IMAGE, Column("colour"), *SCORES),
        tuple(rows),
    )


def by_magnitude_table(measures: ImageMeasures, catalogue: Catalogue, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of the composite's magnitude in the outer aperture, in bins of catalogue magnitude."""
    band = shape_band(spec)
    c = spec.bands.index(band)
    mag_N = catalogue.magnitude(band)
    error_N = errors.magnitude_errors(measures, COMPOSITE, OUTER)[:, c]
    test_N = errors.usable_flux(measures, spec, OUTER)[:, c]
    rows = []
    for low, high in pairwise(MAGNITUDE_EDGES):
        inside_N = test_N & (mag_N >= low) & (mag_N < high)
        if inside_N.sum() >= MIN_GALAXIES:
            rows.append((f"{low:g} to {high:g}", *_cells(score(error_N[inside_N], errors.MAGNITUDE_LIMIT))))
    return Table(
        "by_magnitude",
        f"Composite minus observed {band} magnitude within {_radius(OUTER)}, by magnitude",
        (Column("magnitude", f"catalogue {band} [mag]"), *SCORES),
        tuple(rows),
        note=f"Bins of {MIN_GALAXIES} galaxies or more.",
    )


def by_hidden_table(measures: ImageMeasures, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of the composite's magnitude in the inner aperture, in bins of its hidden fraction."""
    band = shape_band(spec)
    c = spec.bands.index(band)
    error_N = errors.magnitude_errors(measures, COMPOSITE, INNER)[:, c]
    test_N, hidden_N = errors.usable_flux(measures, spec, INNER)[:, c], measures.hidden_NA[:, APERTURES.index(INNER)]
    rows = []
    for low, high in pairwise(HIDDEN_EDGES):
        inside_N = test_N & (hidden_N > low) & (hidden_N <= high)
        if inside_N.sum() >= MIN_GALAXIES:
            rows.append((f"{low:g} to {high:g}", *_cells(score(error_N[inside_N], errors.MAGNITUDE_LIMIT))))
    return Table(
        "by_hidden",
        f"Composite minus observed {band} magnitude within {_radius(INNER)}, by masked fraction",
        (Column("masked_fraction", "masked fraction of the aperture"), *SCORES),
        tuple(rows),
        note=f"Bins of {MIN_GALAXIES} galaxies or more. If the whole aperture is masked, its light is inferred from "
        f"the outskirts alone.",
    )


def shape_table(measures: ImageMeasures, catalogue: Catalogue, spec: SurveySpec, score: RobustScore) -> Table:
    """Errors of size and shape, by version and type of the galaxy."""
    limits = {
        errors.RADIUS: errors.SIZE_LIMIT,
        errors.SIZE: errors.SIZE_LIMIT,
        errors.G1: errors.SHEAR_LIMIT,
        errors.G2: errors.SHEAR_LIMIT,
    }
    kind_N, test_N, has = kinds(catalogue), errors.usable_shape(measures, spec), errors.observed_shape(measures)
    rows: list[tuple[Cell, ...]] = []
    for version in MODEL_VERSIONS:
        error = errors.shape_errors(measures, version)
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
            *(IMAGE, Column("type"), Column("quantity"), N, Column("median"), Column("nmad", "NMAD")),
            Column("outliers_percent", "outliers [%]"),
        ),
        tuple(rows),
        note=f"Galaxies observed at S/N {errors.SHAPE_SNR:g} or more with some pixels within {_radius(OUTER)} masked. "
        f"Half-light radius of the light within {_radius(OUTER)}; size and reduced shear g from "
        f"adaptive moments (Hirata & Seljak 2003), seeing included. Outliers: beyond {errors.SIZE_LIMIT:g} in "
        f"ln(size), {errors.SHEAR_LIMIT:g} in g, or measurable in the observed image only.",
    )


def failure_table(measures: ImageMeasures, spec: SurveySpec) -> Table:
    """Failure rate of adaptive moments on each version of the image."""
    failed_NV = ~np.isfinite(measures.size_NV[errors.usable_shape(measures, spec)])
    rows = []
    for v, version in enumerate(VERSIONS):
        failed = rate_score(failed_NV[:, v])
        rows.append((version, failed.n, measured(failed, 100)))
    return Table(
        "failures",
        "Adaptive moments that do not converge or move off the centre",
        (IMAGE, N, Column("failed_percent", "failed [%]")),
        tuple(rows),
    )


def kinds(catalogue: Catalogue) -> np.ndarray:
    """Point source, extended or unknown type (N,), from the Tractor type."""
    type_N = catalogue.morphtype_N
    return np.where(type_N == "PSF", POINT_SOURCE, np.where(type_N == "", UNKNOWN, EXTENDED))


def _cells(found: Robust) -> tuple[Cell, ...]:
    return found.outliers.n, measured(found.median), measured(found.nmad), measured(found.outliers, 100)


def _median(values_N: np.ndarray) -> float:
    return float(np.median(values_N)) if values_N.size else np.nan


def _radius(radius: float) -> str:
    return f"{radius:g} arcsec"
