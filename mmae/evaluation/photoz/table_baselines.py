"""Baselines of the redshift section: redshifts from catalogue magnitudes by gradient boosting and nearest neighbours.

They are trained on the training split of the evaluated survey and predict the evaluated galaxies.
Shape suffixes: N training galaxies, M evaluated galaxies, C bands.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmae.evaluation.cells import measured
from mmae.evaluation.representation.probes import KNN, predict_redshift
from mmae.inference.photoz_boosting import predict_photoz, train_photoz
from mmae.metrics.photometric_features import LEAST_TEST, LEAST_TRAINING, photoz_features
from mmae.metrics.redshift import is_redshift, scatter_difference, score_redshift
from mmae.report.contents import Cell, Column, Table
from mmae.report.score_table import ROW_NAMES

BOOSTING = "gradient boosting"
BASELINES = {BOOSTING: "boosting", KNN: "knn"}  # name -> name of its columns
NOTE = (
    "Trained on magnitudes and colours of the survey's training split: scikit-learn's gradient-boosted trees (absolute "
    "error of ln(1+z)) and k nearest neighbours (standardised, weighted by distance). Each row has the scores of the "
    "galaxies with the inputs of the mode, a magnitude and a redshift. The difference of two sigma_NMAD is from a "
    "paired bootstrap; negative: the model is better. Outliers have |dz| > 0.15."
)


def predict_from_magnitudes(
    train_mag_NC: np.ndarray, train_redshift_N: np.ndarray, mag_MC: np.ndarray, *, seed: int
) -> dict[str, np.ndarray]:
    """Name of a baseline -> redshifts (M,), NaN for galaxies without a magnitude; empty if there are too few galaxies.

    Args:
        train_mag_NC, mag_MC: AB; NaN where not measured.
        train_redshift_N: NaN where unknown.
        seed: of the trees.
    """
    usable_N = is_redshift(train_redshift_N) & np.isfinite(train_mag_NC).any(1)
    measured_M = np.isfinite(mag_MC).any(1)
    if usable_N.sum() < LEAST_TRAINING or measured_M.sum() < LEAST_TEST:
        return {}
    mag_NC, redshift_N = train_mag_NC[usable_N], train_redshift_N[usable_N]
    found = {
        BOOSTING: predict_photoz(train_photoz(mag_NC, redshift_N, seed=seed), mag_MC),
        KNN: predict_redshift(KNN, photoz_features(mag_NC), redshift_N, photoz_features(mag_MC)),
    }
    return {name: np.where(measured_M, redshift_M, np.nan) for name, redshift_M in found.items()}


def baselines_table(
    redshift_M: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    baselines: Mapping[str, np.ndarray],
    *,
    seed: int,
    resamples: int,
) -> Table | None:
    """One row per mode: scores of the model and of the baselines for the same galaxies; None without any.

    Args:
        redshift_M: spectroscopic; NaN where unknown.
        predictions: mode -> (M,) redshifts of the model; NaN without its inputs.
        baselines: output of `predict_from_magnitudes`.
    """
    rows: list[tuple[Cell, ...]] = []
    for mode, model_M in predictions.items():
        shared_M = is_redshift(redshift_M) & ~np.isnan(model_M)
        for baseline_M in baselines.values():
            shared_M &= ~np.isnan(baseline_M)
        if not baselines or shared_M.sum() < LEAST_TEST:
            continue
        z_M, mine_M = redshift_M[shared_M], model_M[shared_M]
        others = [baseline_M[shared_M] for baseline_M in baselines.values()]
        scores = [score_redshift(z_M, predicted, seed=seed, resamples=resamples) for predicted in (mine_M, *others)]
        gains = [scatter_difference(z_M, mine_M, other, seed=seed, resamples=resamples) for other in others]
        rows.append(
            (
                ROW_NAMES.get(mode, mode),
                int(shared_M.sum()),
                *(measured(score["sigma_nmad"]) for score in scores),
                *(measured(gain) for gain in gains),
                *(measured(score["outlier_rate"], 100) for score in scores),
            )
        )
    if not rows:
        return None
    columns = {"model": "model"} | {BASELINES[name]: name for name in baselines}
    return Table(
        "baselines",
        "Compared with redshifts from magnitudes alone, all z",
        (
            Column("mode", "redshift from"),
            Column("n", "galaxies"),
            *(Column(f"sigma_nmad_{short}", f"sigma_NMAD {name}") for short, name in columns.items()),
            *(Column(f"model_minus_{BASELINES[name]}", f"model - {name}") for name in baselines),
            *(Column(f"outliers_{short}_percent", f"outliers {name} [%]") for short, name in columns.items()),
        ),
        tuple(rows),
        NOTE,
    )
