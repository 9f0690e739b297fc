"""Photometric redshifts from magnitudes alone: the least that a model of images must beat.

A simulated sky in which magnitudes say more, or less, of the redshift than on the real one
teaches a model the wrong thing; the same regressor on real galaxies tells.

Shape suffixes: N galaxies, C bands, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import Scores
from mmae.metrics.photometric_features import LEAST_TEST, LEAST_TRAINING, photoz_features
from mmae.metrics.redshift import median_baseline, score_redshift
from mmae.realism import published
from mmae.realism.figures_population import photoz_figure
from mmae.realism.reference import SUBARU_BANDS, load, read_zcosmos
from mmae.realism.rows import Objects
from mmae.report.contents import NOT_JUDGED, Cell, Drawing, Section, Table, Verdict, judge_all, judge_range, judge_ratio

# Trees split at thresholds of a feature: magnitudes and colours, as a sum is beyond one split.
MAX_ITERATIONS, LEARNING_RATE, MAX_LEAVES = 300, 0.08, 31
TEST_SHARE = 0.15  # of zCOSMOS, as of a survey
RESAMPLES = 300
EVERYTHING, ALL_BANDS = "all objects, all bands", "galaxies, all bands"
FOUR_BANDS, REAL = "galaxies, griz", "real: zCOSMOS, griz"
REAL_TOLERANCE = 0.3
CAPTION = "Redshift from magnitudes against the spectroscopic one; dashed: |dz| = 0.15 (1 + z)."


@dataclass(frozen=True)
class PhotozModel:
    """A trained regressor and the number of bands it takes."""

    regressor: HistGradientBoostingRegressor
    n_bands: int


def train_photoz(mag_NC: np.ndarray, redshift_N: np.ndarray, *, seed: int) -> PhotozModel:
    """Learn redshift from magnitudes (AB, in order of wavelength; NaN = not measured).

    The median of ln(1 + z) given the magnitudes: absolute errors, as scatter and outliers are
    judged in dz / (1 + z) and a few quasars should not pull the galaxies.

    Raises:
        InputError: fewer than 50 galaxies with a redshift, or arrays of different length.
    """
    mag_NC, redshift_N = np.asarray(mag_NC, np.float64), np.asarray(redshift_N, np.float64)
    if mag_NC.ndim != 2 or redshift_N.shape != mag_NC.shape[:1]:
        raise InputError(
            f"photometric redshift: magnitudes have shape {mag_NC.shape} and redshifts "
            f"{redshift_N.shape}; give (galaxies, bands) and (galaxies,)."
        )
    use_N = np.isfinite(redshift_N) & (redshift_N > -1) & np.isfinite(mag_NC).any(axis=1)
    if use_N.sum() < LEAST_TRAINING:
        raise InputError(
            f"photometric redshift: {use_N.sum()} galaxies with magnitudes and a redshift, "
            f"{LEAST_TRAINING} are needed; take a larger survey."
        )
    regressor = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=MAX_ITERATIONS,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=MAX_LEAVES,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=15,
        random_state=seed,
    )
    regressor.fit(photoz_features(mag_NC[use_N]), np.log1p(redshift_N[use_N]))
    return PhotozModel(regressor, mag_NC.shape[1])


def predict_photoz(model: PhotozModel, mag_NC: np.ndarray) -> np.ndarray:
    """Redshifts (N,) of galaxies with these magnitudes.

    Raises:
        InputError: another number of bands than the model was trained with.
    """
    mag_NC = np.asarray(mag_NC, np.float64)
    if mag_NC.ndim != 2 or mag_NC.shape[1] != model.n_bands:
        raise InputError(
            f"photometric redshift: magnitudes have shape {mag_NC.shape}; the model takes {model.n_bands} bands."
        )
    return np.expm1(model.regressor.predict(photoz_features(mag_NC)))


@dataclass(frozen=True)
class Trial:
    """A sample, how it is divided and which of it counts."""

    name: str
    mag_NC: np.ndarray
    redshift_N: np.ndarray
    train_N: np.ndarray  # bool
    test_N: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """Scores of the test galaxies at 0 < z < 1.5."""

    scores: Scores
    baseline: Scores  # the training median for everyone
    redshift_N: np.ndarray
    predicted_N: np.ndarray
    n_train: int


def run_trial(trial: Trial, seed: int) -> Outcome | None:
    """Train on the one part, score the other; None if there are too few galaxies."""
    known_N = np.isfinite(trial.redshift_N) & np.isfinite(trial.mag_NC).any(axis=1)
    train_N = trial.train_N & known_N
    in_range_N = (trial.redshift_N > 0) & (trial.redshift_N < published.PHOTOZ_MAX_REDSHIFT)
    test_N = trial.test_N & known_N & in_range_N
    if train_N.sum() < LEAST_TRAINING or test_N.sum() < LEAST_TEST:
        return None
    model = train_photoz(trial.mag_NC[train_N], trial.redshift_N[train_N], seed=seed)
    redshift_N = trial.redshift_N[test_N]
    predicted_N = predict_photoz(model, trial.mag_NC[test_N])
    constant_N = median_baseline(trial.redshift_N[train_N & in_range_N], redshift_N)
    return Outcome(
        score_redshift(redshift_N, predicted_N, seed=seed, resamples=RESAMPLES),
        score_redshift(redshift_N, constant_N, seed=seed, resamples=RESAMPLES),
        redshift_N,
        predicted_N,
        int(train_N.sum()),
    )


def photoz_section(objects: Objects, reference: Path | None, seed: int) -> Section:
    """The regressor on the survey (all objects; galaxies; galaxies in four bands) and on zCOSMOS."""
    hsc = published.HSC_PHOTOZ
    text = (
        "Gradient-boosted trees on magnitudes and colours, trained on the train split and scored on the "
        f"test split at 0 < z < {published.PHOTOZ_MAX_REDSHIFT}. The same on zCOSMOS-bright galaxies with a "
        "secure redshift (g+ r+ i* z+, I < 22.5). Published for HSC-SSP in five bands: sigma_NMAD "
        f"{hsc.sigma_nmad[0]} to {hsc.sigma_nmad[1]}, outliers {hsc.outlier_rate[0]:.0%} to "
        f"{hsc.outlier_rate[1]:.0%} ({hsc.source}), for galaxies that are fainter than DESI's targets: being "
        "somewhat better is expected, being far better is not."
    )
    train_N, test_N = objects.split_N == "train", objects.split_N == "test"
    galaxy_N = objects.is_galaxy_N
    trials = [
        Trial(EVERYTHING, objects.mag_NC, objects.redshift_N, train_N, test_N),
        Trial(ALL_BANDS, objects.mag_NC, objects.redshift_N, train_N & galaxy_N, test_N & galaxy_N),
    ]
    if all(b in objects.bands for b in SUBARU_BANDS):
        four = [objects.bands.index(b) for b in SUBARU_BANDS]
        trials.append(
            Trial(FOUR_BANDS, objects.mag_NC[:, four], objects.redshift_N, train_N & galaxy_N, test_N & galaxy_N)
        )
    loaded = load(read_zcosmos, reference)
    in_i = "i" in objects.bands and bool(np.isfinite(objects.magnitude_N("i")[test_N & galaxy_N]).any())
    if loaded.value is not None:
        real = loaded.value
        in_test_M = np.random.default_rng(seed).random(real.redshift_N.size) < TEST_SHARE
        trials.append(Trial(REAL, real.mag_NC, real.redshift_N, ~in_test_M, in_test_M))
        # The survey's galaxies are brighter: the fair comparison is with real ones as bright.
        bright = np.nanpercentile(objects.magnitude_N("i")[test_N & galaxy_N], 90) if in_i else np.nan
        trials.append(
            Trial(
                f"{REAL}, i < {bright:.1f}",
                real.mag_NC,
                real.redshift_N,
                ~in_test_M,
                in_test_M & (real.selection_mag_N < bright),
            )
        )
    outcomes = {t.name: run_trial(t, seed) for t in trials}
    done = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
    if not done:
        return Section(
            "photoz",
            "Redshifts from magnitudes alone",
            text,
            left_out=f"Left out: fewer than {LEAST_TRAINING} training or {LEAST_TEST} test galaxies.",
        )
    bright_real = next((o for name, o in done.items() if name.startswith(f"{REAL}, i <")), None)
    rows = tuple(_row(name, outcome, bright_real) for name, outcome in done.items())
    table = Table(
        "scores",
        f"Test galaxies at 0 < z < {published.PHOTOZ_MAX_REDSHIFT}",
        (
            "sample",
            "n train",
            "n test",
            "sigma_NMAD",
            "error",
            "bias",
            "outliers [%]",
            "error [%]",
            "median only: sigma_NMAD",
            "verdict",
        ),
        rows,
        note="Judged: all objects in all bands against the published range, scatter (to two "
        "decimals, as it is published) and outliers; "
        "galaxies in griz against zCOSMOS galaxies that are "
        f"as bright (scatter within {REAL_TOLERANCE:.0%}). The last but one column predicts "
        "the median of the training redshifts for every galaxy.",
    )
    figure = photoz_figure({name: (o.redshift_N, o.predicted_N) for name, o in done.items()})
    return Section(
        "photoz",
        "Redshifts from magnitudes alone",
        text,
        (table,),
        (Drawing("photoz", CAPTION, figure),),
        left_out=loaded.reason,
    )


def _row(name: str, outcome: Outcome, bright_real: Outcome | None) -> tuple[Cell, ...]:
    sigma, outliers = outcome.scores["sigma_nmad"], outcome.scores["outlier_rate"]
    hsc = published.HSC_PHOTOZ
    verdict: Verdict = NOT_JUDGED
    if name == FOUR_BANDS and bright_real is not None:
        verdict = judge_ratio(sigma.value, bright_real.scores["sigma_nmad"].value, REAL_TOLERANCE)
    if name == EVERYTHING:
        # To two decimals, as the range is published.
        verdict = judge_all(
            judge_range(round(sigma.value, 2), *hsc.sigma_nmad), judge_range(outliers.value, *hsc.outlier_rate)
        )
    return (
        name,
        outcome.n_train,
        outcome.redshift_N.size,
        sigma.value,
        sigma.error,
        outcome.scores["bias"].value,
        100 * outliers.value,
        100 * outliers.error,
        outcome.baseline["sigma_nmad"].value,
        verdict,
    )
