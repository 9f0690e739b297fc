"""Tables of hidden spectrum samples: chi-square against baselines, and calibration of drawn lines.

Shape suffix: N galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.cells import measured
from mmae.evaluation.hidden.calibration import DrawnLines, scatter_of
from mmae.evaluation.hidden.spectra import COMPONENTS, MODEL, TEMPLATES, HiddenSpectra
from mmae.metrics.bootstrap import EMPTY, Score, bootstrap_scores
from mmae.report.contents import Cell, Column, Table

MIN_GALAXIES = 10
SIGNAL_EDGES = (1.0, 3.0, 10.0, 30.0, np.inf)  # drawn flux over the error of the observed flux
JUDGED_SIGNAL = 3.0  # drawn lines of this S/N or more have a target
COLOUR_BANDS = ("g", "i")


def chi2_ratio(spectra: HiddenSpectra, other: str, chosen_N: np.ndarray, seed: int, resamples: int) -> Score:
    """Mean chi-square of the model over that of another method, for the same spectra."""
    if other not in spectra.chi2:
        return EMPTY
    model_N, other_N = spectra.chi2[MODEL], spectra.chi2[other]
    rows = np.flatnonzero(chosen_N & np.isfinite(model_N) & np.isfinite(other_N))
    if not rows.size:
        return EMPTY

    def ratio(row_RN: np.ndarray) -> dict[str, np.ndarray]:
        return {"it": model_N[row_RN].mean(1) / other_N[row_RN].mean(1)}

    return bootstrap_scores(rows, ratio, seed=seed, resamples=resamples)["it"]


def chi2_table(spectra: HiddenSpectra, catalogue: Catalogue, seed: int, resamples: int) -> Table:
    """Chi-square per good hidden sample of each method, by class."""
    classes = {"galaxies": ~spectra.point_N, "point sources": spectra.point_N}
    classes |= {str(kind): catalogue.kind_N == kind for kind in sorted({*catalogue.kind_N.tolist()} - {""})}
    rows: list[tuple[Cell, ...]] = []
    for label, of_class_N in classes.items():
        known_N = of_class_N & np.isfinite([spectra.chi2[name] for name in spectra.chi2]).all(0)
        if known_N.sum() < MIN_GALAXIES:
            continue
        for name in (MODEL, COMPONENTS, TEMPLATES):
            if name in spectra.chi2:
                scores = bootstrap_scores(spectra.chi2[name][known_N], _mean_median, seed=seed, resamples=resamples)
                rows.append((label, name, int(known_N.sum()), *map(measured, scores.values())))
    return Table(
        "chi2",
        "Chi-square per good hidden sample of the spectrum, 75% of image and spectrum hidden",
        (Column("galaxies"), Column("method"), Column("n"), Column("mean"), Column("median")),
        tuple(rows),
        note="Principal components: fitted to training spectra with their inverse variances, the number of components "
        "chosen on training spectra that were left out; coefficients from the visible samples with the variance of "
        "the training spectra as prior. Templates: the best non-negative combination at the known redshift of the "
        "kcorrect templates with dust and emission lines, and of quasar templates for point sources, fitted to the "
        "visible samples.",
    )


def line_score(lines: DrawnLines, low: float, high: float, seed: int, resamples: int) -> Score:
    """Observed over drawn flux of lines drawn with a S/N from low to high: ratio of the sums in units of the noise."""
    rows = chosen_lines(lines, low, high)
    observed_N, drawn_N = (flux_N / lines.error_N for flux_N in (lines.observed_N, lines.drawn_N))

    def ratio(row_RN: np.ndarray) -> dict[str, np.ndarray]:
        return {"it": observed_N[row_RN].sum(1) / drawn_N[row_RN].sum(1)}

    found = np.flatnonzero(rows)
    return bootstrap_scores(found, ratio, seed=seed, resamples=resamples)["it"] if found.size else EMPTY


def chosen_lines(lines: DrawnLines, low: float, high: float) -> np.ndarray:
    """Lines (N,) drawn with a S/N from low to high, of galaxies whose redshift the model has right."""
    with np.errstate(invalid="ignore"):
        signal_N = lines.drawn_N / lines.error_N
        return lines.right_N & (signal_N >= low) & (signal_N < high)


def calibration_table(lines: Mapping[str, DrawnLines], catalogue: Catalogue, seed: int, resamples: int) -> Table:
    """Observed over drawn flux in bins of the drawn S/N, and scatter against galaxies of equal colour and magnitude."""
    property_ND = magnitude_and_colour(catalogue)
    rows: list[tuple[Cell, ...]] = []
    for key, of_line in lines.items():
        for low, high in (*pairwise(SIGNAL_EDGES), (JUDGED_SIGNAL, np.inf)):
            chosen_N = chosen_lines(of_line, low, high)
            if chosen_N.sum() < MIN_GALAXIES:
                continue
            scatter = scatter_of(of_line, chosen_N, property_ND)
            label = f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high:g}"
            if (low, high) == (JUDGED_SIGNAL, np.inf):
                label = f"all above {low:g}"
            ratio = measured(line_score(of_line, low, high, seed, resamples))
            rows.append((key, label, int(chosen_N.sum()), ratio, scatter.drawn, scatter.neighbours, scatter.noise))
    return Table(
        "line_calibration",
        "Observed over drawn line flux, by the S/N of the drawn flux",
        (
            *(Column("line"), Column("drawn", "drawn S/N"), Column("n"), Column("flux_ratio")),
            Column("scatter"),
            Column("scatter_neighbours", "scatter about equal colour and magnitude"),
            Column("noise", "noise of the observation"),
        ),
        tuple(rows),
        note="Hidden lines of galaxies whose redshift the model has right within 1000 km/s. Ratio of the sums of "
        "observed and drawn flux, each divided by the error of the observed flux: 1 if the drawn flux is calibrated, "
        "whether or not single lines can be seen. Scatter: 1.4826 MAD of observed minus drawn flux, without the noise "
        "of the observation, in units of the median drawn flux; beside it the scatter about the mean observed flux of "
        "the 10 galaxies of most similar magnitude and colour. A scatter as large as that means that nothing but "
        "magnitude and colour was used.",
    )


def magnitude_and_colour(catalogue: Catalogue) -> np.ndarray:
    """Catalogue magnitude and colour (N,2) in units of their standard deviations; NaN where not measured."""
    blue, red = COLOUR_BANDS if set(COLOUR_BANDS) <= set(catalogue.bands) else (catalogue.bands[0], catalogue.bands[-1])
    value_ND = np.stack([catalogue.magnitude(red), catalogue.magnitude(blue) - catalogue.magnitude(red)], 1)
    known_N = np.isfinite(value_ND).all(1)
    return value_ND / np.maximum(value_ND[known_N].std(0), 1e-6) if known_N.any() else value_ND


def _mean_median(x_RN: np.ndarray) -> dict[str, np.ndarray]:
    return {"mean": x_RN.mean(1), "median": np.median(x_RN, axis=1)}
