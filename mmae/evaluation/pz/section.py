"""Report section on p(z): scores, coverage and verdict of every mode, and scores by stratum.

Shape suffixes: N galaxies, M galaxies scored in a mode.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from mmae.core.errors import InputError
from mmae.evaluation.pz.figures import coverage_figure, example_figure, pit_figure, stacked_figure
from mmae.evaluation.pz.tables import Judged, calibration_table, coverage_table, scores_table, strata_table
from mmae.metrics.pz_calibration import SIGNIFICANCE, SMALL_BIAS, SMALL_MISS, SMALL_OUTLIERS, calibrate, randomised_pit
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.metrics.pz_scores import galaxy_scores
from mmae.metrics.redshift import is_redshift
from mmae.report.contents import Drawing, Section

TITLE = "Redshift distributions p(z)"
RESAMPLES = 300
EXAMPLES = 6
HIDDEN = ("redshift", "kind", "snr")
POINT, POINT_EDGES = "median of p(z)", (0.0, 0.2, 0.4, 0.8, 1.6, np.inf)
Families = Mapping[str, Mapping[str, np.ndarray]]
"""family -> stratum -> members (N,) bool."""
TEXT = (
    "p(z) is conditional on the input, so each mode is tested separately: p(z) from the image alone may be calibrated "
    "and p(z) from the spectrum too wide. PIT is the probability of p(z) below the true redshift, "
    "randomised within the bin of the truth; it is uniform if p(z) is calibrated. CRPS (in units of redshift) and CDE "
    "loss are smaller, ln p larger, for a better p(z); calibration alone is not sufficient. Densities are in z. "
    f"The significance level is {SIGNIFICANCE:.0%}, the probability that a calibrated p(z) is rejected. With "
    "very many galaxies a negligible error is significant too, so its size is reported: it is called small "
    f"if coverage is off by at most {100 * SMALL_MISS:.0f} percentage points and the median by at most {SMALL_BIAS:g} "
    f"sigma, with at most {100 * SMALL_OUTLIERS:g}% PIT outliers."
)
NO_PDF = (
    "Left out: the model predicts one redshift and no p(z), like the paper's model. Train a recipe with a binned "
    "redshift head, such as `small`."
)
CAPTIONS = {
    "pz_pit": "PIT of the true redshifts. Flat: calibrated; peaks at both ends: p(z) too narrow (over-confident); "
    "peak in the middle: too wide (under-confident); sloped: biased. Bands: expected range of a calibrated p(z).",
    "pz_coverage": "Fraction of galaxies with the true redshift inside central intervals of p(z), with 68% errors.",
    "pz_stacked": "Mean of all p(z) and the true redshifts of the same galaxies. They agree if p(z) is calibrated.",
    "pz_examples": "p(z) of galaxies at even ranks of true redshift (dotted), not selected by quality.",
}


def pz_section(
    pdfs: Mapping[str, tuple[RedshiftPDF, np.ndarray]],
    z_spec_N: ArrayLike,
    families: Families,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    object_id_N: ArrayLike | None = None,
    hidden: Collection[str] = HIDDEN,
) -> Section:
    """Scores, calibration and figures of p(z) by mode.

    Args:
        pdfs: mode -> p(z) of all N galaxies, and (N,) bool: the inputs of the mode are present; empty for
            a model without p(z).
        z_spec_N: spectroscopic redshifts, NaN where unknown.
        families: strata to score separately.
        seed: of the randomised PIT and the bootstrap.
        resamples: number of bootstrap resamples.
        object_id_N: titles in the figure of examples; row numbers by default.
        hidden: families defined by a quantity that is not an input of p(z), such as the true redshift. The PIT of a
            calibrated p(z) is not uniform in their strata, so these are scored and not judged.

    Raises:
        InputError: arrays of inconsistent shapes or types.
    """
    z_spec_N = np.asarray(z_spec_N, np.float64)
    _check(pdfs, z_spec_N, families)
    modes, reasons = {}, []
    for mode, (pdf, usable_N) in pdfs.items():
        row_M = np.flatnonzero(usable_N & is_redshift(z_spec_N))
        if row_M.size:
            modes[mode] = _judge(pdf.chosen(row_M), z_spec_N[row_M], row_M, seed)
        else:
            reasons.append(f"{mode}: no galaxy has its inputs and a redshift; use a survey with such galaxies.")
    left_out = NO_PDF if not pdfs else f"Left out: {' '.join(reasons)}" if reasons else ""
    if not modes:
        return Section("pz", TITLE, TEXT, left_out=left_out)
    by_point = {mode: _point_strata(judged, z_spec_N.size) for mode, judged in modes.items()}
    tables = [scores_table(modes, seed, resamples), calibration_table(modes), coverage_table(modes)]
    for family in (POINT, *families):
        strata = {mode: by_point[mode] if family == POINT else families[family] for mode in modes}
        tables.append(strata_table(family, modes, strata, family in hidden, seed, resamples))
    pits = {mode: judged.pit_M for mode, judged in modes.items()}
    names_N = np.arange(z_spec_N.size).astype(str) if object_id_N is None else np.asarray(object_id_N, str)
    figures = {
        "pz_pit": pit_figure(pits),
        "pz_coverage": coverage_figure(pits),
        "pz_stacked": stacked_figure({mode: (judged.pdf, judged.z_M) for mode, judged in modes.items()}),
        "pz_examples": example_figure(_examples(modes, z_spec_N, names_N)),
    }
    drawings = tuple(Drawing(name, CAPTIONS[name], figure) for name, figure in figures.items())
    return Section("pz", TITLE, TEXT, tuple(tables), drawings, left_out)


def _check(pdfs: Mapping[str, tuple[RedshiftPDF, np.ndarray]], z_spec_N: np.ndarray, families: Families) -> None:
    n = z_spec_N.shape
    for mode, (pdf, usable_N) in pdfs.items():
        if (len(pdf),) != n or np.shape(usable_N) != n or np.asarray(usable_N).dtype != bool:
            raise InputError(
                f"p(z) from {mode}: {len(pdf)} p(z), usable of shape {np.shape(usable_N)} and redshifts "
                f"of shape {n}; give one of each per galaxy, usable as bool."
            )
    for family, strata in families.items():
        for stratum, member_N in strata.items():
            if np.shape(member_N) != n or np.asarray(member_N).dtype != bool:
                raise InputError(
                    f"p(z) by {family}: stratum {stratum!r} must have one bool for each of the "
                    f"{z_spec_N.size} galaxies."
                )


def _judge(pdf: RedshiftPDF, z_M: np.ndarray, row_M: np.ndarray, seed: int) -> Judged:
    pit_M = randomised_pit(pdf, z_M, seed)
    return Judged(row_M, pdf, z_M, pit_M, galaxy_scores(pdf, z_M), calibrate(pit_M))


def _point_strata(judged: Judged, n: int) -> dict[str, np.ndarray]:
    """Bins of the median of p(z), which unlike the true redshift does not bias the PIT."""
    point_N = np.full(n, np.nan)
    point_N[judged.row_M] = judged.pdf.quantile(0.5)
    return {
        f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and above": (point_N >= low) & (point_N < high)
        for low, high in pairwise(POINT_EDGES)
    }


def _examples(
    modes: Mapping[str, Judged], z_spec_N: np.ndarray, names_N: np.ndarray
) -> dict[str, tuple[float, dict[str, RedshiftPDF]]]:
    """Galaxies at even ranks of redshift, among those with p(z) in the largest number of modes."""
    seen_N = sum(np.isin(np.arange(z_spec_N.size), judged.row_M).astype(int) for judged in modes.values())
    row_M = np.flatnonzero(seen_N == seen_N.max())
    row_M = row_M[np.argsort(z_spec_N[row_M], kind="stable")]
    chosen = row_M[np.unique(np.linspace(0, row_M.size - 1, EXAMPLES + 2).round().astype(int)[1:-1])]
    return {
        names_N[row]: (
            float(z_spec_N[row]),
            {
                mode: judged.pdf.chosen(np.flatnonzero(judged.row_M == row))
                for mode, judged in modes.items()
                if row in judged.row_M
            },
        )
        for row in chosen
    }
