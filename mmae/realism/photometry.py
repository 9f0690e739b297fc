"""Photometric consistency: image, spectrum and catalogue against true magnitudes.

Shape suffixes: N galaxies, C bands, L wavelength samples, B bins of magnitude.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import speclite.filters

from mmae.metrics.redshift import sigma_nmad
from mmae.realism.columns import VERDICT
from mmae.realism.figures_population import magnitude_error_figure
from mmae.realism.reference import Loaded
from mmae.realism.rows import NO_TRUTH, Objects, Track, no_tracking
from mmae.realism.simulator import Simulator, row_of
from mmae.report.contents import NOT_JUDGED, Cell, Column, Drawing, Section, Table, Verdict, judge_difference
from mmae.survey.schema import SurveySpec

BRIGHTER_THAN = 20.0  # i, AB: limit for the integration of noise-free images and spectra
MAX_GALAXIES = 60
STAMP = 384  # pixels, 64.5 arcsec: 30 arcsec contain over 99% of the light of n = 4, r_e = 1 arcsec
IMAGE_TOLERANCE, SPECTRUM_TOLERANCE, CATALOGUE_TOLERANCE = 0.03, 0.03, 0.05  # mag
MAG_EDGES = np.arange(15.0, 25.01, 1.0)
MIN_GALAXIES = 20
# Filter curves of speclite; r and i in use since 2016 (Kawanomoto+2018). Independent of those in mmae.simulation.
HSC_FILTERS = {"g": "hsc2017-g", "r": "hsc2017-r2", "i": "hsc2017-i2", "z": "hsc2017-z", "y": "hsc2017-y"}
SPECTRUM_GRID = np.arange(2500.0, 12000.0, 0.8)  # Angstrom: covers all bands with margin


def image_magnitudes(image_CHW: np.ndarray, zero_point: float) -> np.ndarray:
    """AB magnitudes (C,) of the total flux of a noise-free stamp; NaN where it is not positive."""
    counts_C = image_CHW.sum(axis=(1, 2), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts_C > 0, zero_point - 2.5 * np.log10(counts_C), np.nan)


def spectrum_magnitudes(wavelength_L: np.ndarray, flux_L: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """AB magnitudes (C,) of a spectrum (Angstrom, 1e-17 erg/s/cm2/A) through the HSC filters of speclite."""
    filters = speclite.filters.load_filters(*(HSC_FILTERS[b] for b in bands))
    magnitudes = filters.get_ab_magnitudes(np.asarray(flux_L, np.float64) * 1e-17, np.asarray(wavelength_L, np.float64))
    return np.array([float(magnitudes[name][0]) for name in filters.names])


def photometry_section(
    objects: Objects, spec: SurveySpec, simulator: Loaded[Simulator], seed: int, track: Track = no_tracking
) -> Section:
    """Section on noise-free images and spectra of re-simulated bright galaxies, and on catalogue magnitudes."""
    text = (
        f"Three checks of zero points and units. Noise-free images of the target on {STAMP} pixels and spectra "
        "before fibre losses are integrated (spectra with the HSC filters of speclite) and compared with the true "
        f"magnitudes of up to {MAX_GALAXIES} galaxies of i < {BRIGHTER_THAN:g}. Catalogue (cmodel) magnitudes of "
        "all rows are compared with the true magnitudes."
    )
    title = "Photometric consistency"
    if objects.truth is None:
        return Section("photometry", title, text, left_out=NO_TRUTH)
    true_NC = np.stack([objects.truth[f"{b}_mag"] for b in objects.bands], axis=1)
    catalogue, drawing = _catalogue(objects.bands, true_NC, objects.mag_NC)
    tables = list(catalogue)
    if simulator.value is not None:
        i = objects.bands.index("i")
        bright = np.flatnonzero((true_NC[:, i] < BRIGHTER_THAN) & objects.is_galaxy_N)
        bright = np.random.default_rng(seed).permutation(bright)[:MAX_GALAXIES]
        rows = [row for row in (row_of(objects.object_id_N[n]) for n in bright) if row is not None]
        tables.insert(0, _totals(rows, spec, simulator.value, track))
    return Section("photometry", title, text, tuple(tables), (drawing,), left_out=simulator.reason)


def _totals(rows: list[int], spec: SurveySpec, simulator: Simulator, track: Track) -> Table:
    image_NC, spectrum_NC = [], []
    for row in track(rows, "re-simulated galaxies"):
        truth = simulator.simulate(row)
        true_C = np.asarray(simulator.mag_C(truth), np.float64)
        image_NC.append(image_magnitudes(simulator.target_image(truth, STAMP), spec.zero_point) - true_C)
        if simulator.total_spectrum is not None:
            flux_L = simulator.total_spectrum(truth, SPECTRUM_GRID)
            spectrum_NC.append(spectrum_magnitudes(SPECTRUM_GRID, flux_L, spec.bands) - true_C)
    found: list[tuple[Cell, ...]] = []
    for name, offsets, tolerance in (
        ("image", image_NC, IMAGE_TOLERANCE),
        ("spectrum", spectrum_NC, SPECTRUM_TOLERANCE),
    ):
        for c, band in enumerate(spec.bands):
            if offsets:
                offset_N = np.array(offsets)[:, c]
                largest = float(np.abs(offset_N).max())
                found.append(
                    (
                        name,
                        band,
                        len(offsets),
                        float(np.median(offset_N)),
                        largest,
                        judge_difference(largest, 0.0, tolerance, "mag"),
                    )
                )
        if not offsets:
            found.append((name, "all", 0, None, None, Verdict("no galaxies")))
    return Table(
        "totals",
        f"Integrated minus true magnitude, galaxies of i < {BRIGHTER_THAN:g}",
        (
            Column("data"),
            Column("band"),
            Column("n"),
            Column("median", "median [mag]"),
            Column("largest", "largest [mag]"),
            VERDICT,
        ),
        tuple(found),
        note="Rendering by Fourier transform conserves the flux on a stamp of this size by construction: the image "
        "rows check zero point and units, not the profile.",
    )


def _catalogue(bands: tuple[str, ...], true_NC: np.ndarray, mag_NC: np.ndarray) -> tuple[tuple[Table, Table], Drawing]:
    offset_NC = mag_NC - true_NC
    centres = 0.5 * (MAG_EDGES[:-1] + MAG_EDGES[1:])
    median_BC = np.full((centres.size, len(bands)), np.nan)
    rows: list[tuple[Cell, ...]] = []
    for c, band in enumerate(bands):
        for b, (low, high) in enumerate(pairwise(MAG_EDGES)):
            inside = (true_NC[:, c] >= low) & (true_NC[:, c] < high) & np.isfinite(offset_NC[:, c])
            if inside.sum() < MIN_GALAXIES:
                continue
            median_BC[b, c] = np.median(offset_NC[inside, c])
            judged = judge_difference(float(median_BC[b, c]), 0.0, CATALOGUE_TOLERANCE, "mag")
            rows.append(
                (
                    band,
                    f"{low:g} to {high:g}",
                    int(inside.sum()),
                    float(median_BC[b, c]),
                    sigma_nmad(offset_NC[inside, c]),
                    judged if high <= BRIGHTER_THAN + 1 else NOT_JUDGED,
                )
            )
    table = Table(
        "catalogue",
        "Catalogue minus true magnitude",
        (
            Column("band"),
            Column("magnitude", "true magnitude"),
            Column("n"),
            Column("median", "median [mag]"),
            Column("scatter", "scatter [mag]"),
            VERDICT,
        ),
        tuple(rows),
        note=f"Scatter: 1.4826 MAD. Medians are judged to {CATALOGUE_TOLERANCE} mag, brighter than magnitude "
        f"{BRIGHTER_THAN + 1:g}.",
    )
    known_NC = np.isfinite(true_NC)
    missing_C = [
        100 * float(np.isnan(mag_NC[known_NC[:, c], c]).mean()) if known_NC[:, c].any() else np.nan
        for c in range(len(bands))
    ]
    missing_rows = tuple((band, int(known_NC[:, c].sum()), missing_C[c]) for c, band in enumerate(bands))
    missing = Table(
        "missing",
        "Objects without a catalogue magnitude",
        (Column("band"), Column("n", "objects"), Column("missing_percent", "missing [%]")),
        missing_rows,
    )
    caption = "Catalogue minus true magnitude against true magnitude; line: running median."
    return (table, missing), Drawing(
        "photometry", caption, magnitude_error_figure(true_NC, offset_NC, bands, centres, median_BC)
    )
