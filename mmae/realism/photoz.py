"""Photometric redshifts from magnitudes only: a baseline for models of images, and a test of the simulation.

The same regressor is trained on simulated and on real galaxies: its accuracy measures how much information on the
redshift the magnitudes contain, which must be the same in both.

Shape suffixes: N galaxies, C bands, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmae.inference.photoz_boosting import predict_photoz, train_photoz
from mmae.metrics.bootstrap import Scores
from mmae.metrics.photometric_features import LEAST_TEST, LEAST_TRAINING
from mmae.metrics.redshift import median_baseline, score_redshift
from mmae.realism import published
from mmae.realism.columns import VERDICT
from mmae.realism.figures_population import photoz_figure
from mmae.realism.reference import SUBARU_BANDS, load, read_zcosmos
from mmae.realism.rows import Objects
from mmae.report.contents import (
    NOT_JUDGED,
    Cell,
    Column,
    Drawing,
    Measured,
    Section,
    Table,
    Verdict,
    judge_all,
    judge_range,
    judge_ratio,
)

TEST_FRACTION = 0.15  # of zCOSMOS, as in a survey
RESAMPLES = 300
EVERYTHING, ALL_BANDS = "all objects, all bands", "galaxies, all bands"
FOUR_BANDS, REAL = "galaxies, griz", "real: zCOSMOS, griz"
REAL_TOLERANCE = 0.3
TITLE = "Redshifts from magnitudes only"
CAPTION = "Redshift from magnitudes against spectroscopic redshift; dashed: |dz| = 0.15 (1 + z)."


@dataclass(frozen=True)
class Sample:
    """A sample with its training and test galaxies."""

    name: str
    mag_NC: np.ndarray
    redshift_N: np.ndarray
    train_N: np.ndarray  # bool
    test_N: np.ndarray


@dataclass(frozen=True)
class Result:
    """Scores of the test galaxies of a sample at 0 < z < 1.5."""

    scores: Scores
    baseline: Scores  # of predicting the median training redshift
    redshift_N: np.ndarray
    predicted_N: np.ndarray
    n_train: int


def train_and_score(sample: Sample, seed: int) -> Result | None:
    """Train on the training galaxies, score the test galaxies; None if there are too few of either."""
    known_N = np.isfinite(sample.redshift_N) & np.isfinite(sample.mag_NC).any(axis=1)
    train_N = sample.train_N & known_N
    in_range_N = (sample.redshift_N > 0) & (sample.redshift_N < published.PHOTOZ_MAX_REDSHIFT)
    test_N = sample.test_N & known_N & in_range_N
    if train_N.sum() < LEAST_TRAINING or test_N.sum() < LEAST_TEST:
        return None
    model = train_photoz(sample.mag_NC[train_N], sample.redshift_N[train_N], seed=seed)
    redshift_N = sample.redshift_N[test_N]
    predicted_N = predict_photoz(model, sample.mag_NC[test_N])
    constant_N = median_baseline(sample.redshift_N[train_N & in_range_N], redshift_N)
    return Result(
        score_redshift(redshift_N, predicted_N, seed=seed, resamples=RESAMPLES),
        score_redshift(redshift_N, constant_N, seed=seed, resamples=RESAMPLES),
        redshift_N,
        predicted_N,
        int(train_N.sum()),
    )


def photoz_section(objects: Objects, reference: Path | None, seed: int) -> Section:
    """Section on the regressor on the survey (all objects, galaxies, galaxies in four bands) and on zCOSMOS."""
    hsc = published.HSC_PHOTOZ
    text = (
        "Gradient-boosted trees on magnitudes and colours, trained on the train split and scored on the "
        f"test split at 0 < z < {published.PHOTOZ_MAX_REDSHIFT}, and the same for zCOSMOS-bright galaxies with a "
        "secure redshift (g+ r+ i* z+, I < 22.5). Published for HSC-SSP in five bands: sigma_NMAD "
        f"{hsc.sigma_nmad[0]} to {hsc.sigma_nmad[1]}, outliers {hsc.outlier_rate[0]:.0%} to "
        f"{hsc.outlier_rate[1]:.0%} ({hsc.source}) for galaxies fainter than DESI targets: slightly better scores "
        "are expected for this survey, much better ones are not."
    )
    train_N, test_N = objects.split_N == "train", objects.split_N == "test"
    galaxy_N = objects.is_galaxy_N
    samples = [
        Sample(EVERYTHING, objects.mag_NC, objects.redshift_N, train_N, test_N),
        Sample(ALL_BANDS, objects.mag_NC, objects.redshift_N, train_N & galaxy_N, test_N & galaxy_N),
    ]
    if all(b in objects.bands for b in SUBARU_BANDS):
        four = [objects.bands.index(b) for b in SUBARU_BANDS]
        samples.append(
            Sample(FOUR_BANDS, objects.mag_NC[:, four], objects.redshift_N, train_N & galaxy_N, test_N & galaxy_N)
        )
    loaded = load(read_zcosmos, reference)
    in_i = "i" in objects.bands and bool(np.isfinite(objects.magnitude_N("i")[test_N & galaxy_N]).any())
    if loaded.value is not None:
        real = loaded.value
        in_test_M = np.random.default_rng(seed).random(real.redshift_N.size) < TEST_FRACTION
        samples.append(Sample(REAL, real.mag_NC, real.redshift_N, ~in_test_M, in_test_M))
        # The galaxies of the survey are brighter than zCOSMOS: compare with real galaxies of the same brightness.
        bright = np.nanpercentile(objects.magnitude_N("i")[test_N & galaxy_N], 90) if in_i else np.nan
        samples.append(
            Sample(
                f"{REAL}, i < {bright:.1f}",
                real.mag_NC,
                real.redshift_N,
                ~in_test_M,
                in_test_M & (real.selection_mag_N < bright),
            )
        )
    results = {s.name: result for s in samples if (result := train_and_score(s, seed)) is not None}
    if not results:
        reason = f"Left out: fewer than {LEAST_TRAINING} training or {LEAST_TEST} test galaxies."
        return Section("photoz", TITLE, text, left_out=reason)
    bright_real = next((r for name, r in results.items() if name.startswith(f"{REAL}, i <")), None)
    rows = tuple(_row(name, result, bright_real) for name, result in results.items())
    table = Table(
        "scores",
        f"Test galaxies at 0 < z < {published.PHOTOZ_MAX_REDSHIFT}",
        (
            Column("sample"),
            Column("n_train"),
            Column("n_test"),
            Column("sigma_nmad", "sigma_NMAD"),
            Column("bias"),
            Column("outlier_rate_percent", "outliers [%]"),
            Column("baseline_sigma_nmad", "baseline sigma_NMAD"),
            VERDICT,
        ),
        rows,
        note="Judged: all objects in all bands against the published range of sigma_NMAD (two decimals, as published) "
        "and outliers; galaxies in griz against zCOSMOS galaxies of the same brightness (sigma_NMAD within "
        f"{REAL_TOLERANCE:.0%}). Baseline: the median training redshift for every galaxy.",
    )
    figure = photoz_figure({name: (o.redshift_N, o.predicted_N) for name, o in results.items()})
    return Section("photoz", TITLE, text, (table,), (Drawing("photoz", CAPTION, figure),), left_out=loaded.reason)


def _row(name: str, result: Result, bright_real: Result | None) -> tuple[Cell, ...]:
    sigma, outliers = result.scores["sigma_nmad"], result.scores["outlier_rate"]
    hsc = published.HSC_PHOTOZ
    verdict: Verdict = NOT_JUDGED
    if name == FOUR_BANDS and bright_real is not None:
        verdict = judge_ratio(sigma.value, bright_real.scores["sigma_nmad"].value, REAL_TOLERANCE)
    if name == EVERYTHING:
        # Rounded to two decimals, as published.
        verdict = judge_all(
            judge_range(round(sigma.value, 2), *hsc.sigma_nmad), judge_range(outliers.value, *hsc.outlier_rate)
        )
    return (
        name,
        result.n_train,
        result.redshift_N.size,
        Measured(sigma.value, sigma.error),
        result.scores["bias"].value,
        Measured(100 * outliers.value, 100 * outliers.error),
        result.baseline["sigma_nmad"].value,
        verdict,
    )
