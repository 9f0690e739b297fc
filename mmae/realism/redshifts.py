"""Redshifts and morphological types against those published for GalaxiesML-Spectra."""

from __future__ import annotations

import numpy as np

from mmae.realism import published
from mmae.realism.columns import PUBLISHED, RATIO, SIMULATED, VERDICT
from mmae.realism.figures_population import redshift_histogram
from mmae.realism.rows import UNKNOWN, Objects
from mmae.realism.statistics import bootstrap_percentiles
from mmae.report.contents import NOT_JUDGED, Column, Drawing, Measured, Section, Table, judge_ratio

EXTREMES = (0, 100)  # percentiles determined by a single galaxy: shown, not judged


def redshift_section(objects: Objects, seed: int) -> Section:
    """Section on redshift percentiles, fractions at low and high redshift, and morphological types."""
    text = (
        f"All spectroscopic redshifts of the survey against the test set of {published.GALAXIESML}. "
        "Errors: bootstrap over galaxies."
    )
    known_N = np.isfinite(objects.redshift_N)
    redshift_N = objects.redshift_N[known_N]
    if redshift_N.size == 0:
        return Section("redshift", "Redshifts", text, left_out="Left out: the survey has no redshifts.")
    percents = tuple(published.REDSHIFT_PERCENTILES)
    found = bootstrap_percentiles(redshift_N, percents, seed=seed)
    rows = []
    for percent, value, error in zip(percents, found.value_P.tolist(), found.error_P.tolist(), strict=True):
        target = published.REDSHIFT_PERCENTILES[percent]
        judged = judge_ratio(value, target, published.REDSHIFT_TOLERANCE)
        rows.append(
            (
                f"{percent}%",
                Measured(value, error),
                target,
                value / target if target else None,
                NOT_JUDGED if percent in EXTREMES else judged,
            )
        )
    percentiles = Table(
        "percentiles",
        f"Percentiles of {redshift_N.size:,} redshifts",
        (Column("percentile"), SIMULATED, PUBLISHED, RATIO, VERDICT),
        tuple(rows),
    )

    typed_N = objects.morphtype_N != UNKNOWN
    psf_N = (objects.morphtype_N == "PSF") | (objects.redshift_N <= 0)
    shares = [
        ("z < 0.4", float((redshift_N < 0.4).mean()), redshift_N.size, published.BELOW_04),
        ("z > 1.5", float((redshift_N > 1.5).mean()), redshift_N.size, published.ABOVE_15),
    ]
    if typed_N.any():
        n_typed = int(typed_N.sum())
        shares.append(("PSF or z <= 0", float(psf_N[typed_N].mean()), n_typed, published.PSF_SHARE))
        types, counts = np.unique(objects.morphtype_N[typed_N], return_counts=True)
        shares += [
            (f"type {t}", count / n_typed, n_typed, None)
            for t, count in zip(types.tolist(), counts.tolist(), strict=True)
        ]
    share_rows = tuple(
        (
            name,
            Measured(float(100 * share), float(100 * np.sqrt(share * (1 - share) / n))),
            None if target is None else 100 * target,
            None if target is None else float(share / target),
            NOT_JUDGED if target is None else judge_ratio(share, target, published.SHARE_TOLERANCE),
        )
        for name, share, n, target in shares
    )
    share_table = Table(
        "shares",
        "Fractions of the galaxies",
        (
            Column("selection"),
            Column("simulated_percent", "simulated [%]"),
            Column("published_percent", "published [%]"),
            RATIO,
            VERDICT,
        ),
        share_rows,
    )
    class_N = np.where(objects.class_N[known_N] == UNKNOWN, "unknown", objects.class_N[known_N])
    figure = redshift_histogram(redshift_N, class_N, published.REDSHIFT_PERCENTILES)
    caption = "Redshifts by target class. Lower panel: percentiles 5 to 99, simulated and published."
    return Section("redshift", "Redshifts", text, (percentiles, share_table), (Drawing("redshift", caption, figure),))
