"""Which catalogue redshifts are wrong: the probability for each, from p(z) and the expected fraction of wrong ones.

p(z) is calibrated with catalogue redshifts (mmae/model/recalibration.py), so it is the distribution of the catalogue
redshift of a galaxy, and the wrong ones have their part in it. They come from a distribution that has nothing to do
with the galaxy: uniform in ln(1+z) over the range of all catalogue redshifts. With the fraction f of wrong redshifts,
the mass M of p(z) within WINDOW (1+z) of the catalogue redshift, and the mass Q of that distribution there, by Bayes'
theorem

    P(wrong) = f Q / M.

The rest of M is of right redshifts, also of those for which the model is mistaken. f Q above M means that f is larger
than the calibration found; P(wrong) is 1 then.

Shape suffixes: N galaxies, K bins of p(z), E wrong redshifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.catalogue.pz_code import STEPS
from mmae.metrics.bootstrap import Score, rate_score
from mmae.metrics.pz_distribution import RedshiftPDF

WINDOW = 0.003
"""Half width in dz/(1+z) within which two redshifts agree: DESI counts redshifts of galaxies as wrong beyond 1000 km/s,
which is 0.0033 (Lan+2023, section 3)."""
LEAST_MASS = 0.5 / STEPS
"""Of p(z) within the window: the CDF of a catalogue is rounded by up to half a step."""
INSPECTED = 0.01  # fraction of the galaxies for which the recall is given


@dataclass(frozen=True)
class Evidence:
    """What p(z) says about the catalogue redshift of N galaxies.

    Attributes:
        at_label_N: mass of p(z) within WINDOW of the catalogue redshift.
        other_z_N: the most probable redshift elsewhere: centre of the window with the largest mass.
        at_other_N: mass of p(z) within WINDOW of it.
        wrong_N: P(wrong), from 0 to 1.
    """

    at_label_N: np.ndarray
    other_z_N: np.ndarray
    at_other_N: np.ndarray
    wrong_N: np.ndarray


def weigh(pdf: RedshiftPDF, label_N: np.ndarray, wrong_rate: float, label_range: tuple[float, float]) -> Evidence:
    """Compare p(z) of each galaxy with its catalogue redshift.

    Args:
        label_N: catalogue redshifts.
        wrong_rate: fraction of wrong redshifts before the model is asked.
        label_range: smallest and largest catalogue redshift of the survey.
    """
    at_label_N = window_mass(pdf, label_N)
    other_z_N, at_other_N = best_elsewhere(pdf, label_N)
    first, last = np.log1p(label_range)
    by_chance = min(2 * _HALF / max(last - first, 2 * _HALF), 1.0)  # Q
    wrong = wrong_rate * by_chance
    return Evidence(at_label_N, other_z_N, at_other_N, np.minimum(wrong / np.maximum(at_label_N, LEAST_MASS), 1.0))


_HALF = float(np.log1p(WINDOW))  # half width of the window in ln(1+z)


def agree(z_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
    """Mask (N,) of the galaxies whose two redshifts are within WINDOW (1+z)."""
    return np.abs(np.log1p(z_N) - np.log1p(other_N)) <= _HALF


def window_mass(pdf: RedshiftPDF, z_N: np.ndarray) -> np.ndarray:
    """Mass (N,) of p(z) within WINDOW of one redshift per galaxy."""
    x_N = np.log1p(z_N)
    return pdf.cdf(np.expm1(x_N + _HALF)) - pdf.cdf(np.expm1(x_N - _HALF))


def best_elsewhere(pdf: RedshiftPDF, label_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The window with the largest mass of p(z) that does not overlap that of the catalogue redshift.

    Returns:
        Redshift at its centre, which is the centre of a bin, and its mass, each (N,).
    """
    centre_K = 0.5 * (pdf.edges_K1[1:] + pdf.edges_K1[:-1])
    mass_NK = _cdf_at(pdf, centre_K + _HALF) - _cdf_at(pdf, centre_K - _HALF)
    mass_NK[np.abs(centre_K - np.log1p(label_N)[:, None]) < 2 * _HALF] = -1
    best_N = mass_NK.argmax(1)
    return np.expm1(centre_K[best_N]), np.maximum(mass_NK[np.arange(len(mass_NK)), best_N], 0)


def _cdf_at(pdf: RedshiftPDF, x_K: np.ndarray) -> np.ndarray:
    """The CDF (N, K) of all galaxies at the same values of ln(1+z)."""
    edges_K1 = pdf.edges_K1
    x_K = np.clip(x_K, edges_K1[0], edges_K1[-1])
    bin_K = np.clip(np.searchsorted(edges_K1, x_K, side="right") - 1, 0, len(edges_K1) - 2)
    fraction_K = (x_K - edges_K1[bin_K]) / pdf.width_K[bin_K]
    cdf_NK1 = pdf.cumulative_NK1()
    return cdf_NK1[:, bin_K] + fraction_K * pdf.probability_NK[:, bin_K]


@dataclass(frozen=True)
class RankingScores:
    """How well a ranking finds wrong redshifts that are known from a simulation.

    Attributes:
        galaxies: ranked.
        wrong: number of wrong redshifts among them, E.
        precision: wrong fraction of the first E galaxies.
        recall: fraction of the wrong redshifts among the first INSPECTED of all galaxies.
    """

    galaxies: int
    wrong: int
    precision: Score
    recall: Score


def rank(score_N: np.ndarray) -> np.ndarray:
    """Indices (N,) by decreasing score; equal scores keep their order, NaN is last."""
    return np.argsort(-np.nan_to_num(score_N, nan=-np.inf), kind="stable")


def score_ranking(order_N: np.ndarray, wrong_N: np.ndarray) -> RankingScores:
    """Precision and recall of a ranking with their Wilson intervals.

    Args:
        order_N: indices of galaxies, the most suspicious first.
        wrong_N: mask of the wrong redshifts.
    """
    ranked_N, n_wrong = wrong_N[order_N], int(wrong_N.sum())
    inspected = -(-len(ranked_N) // round(1 / INSPECTED))
    place_E = np.flatnonzero(ranked_N)  # of the wrong redshifts
    return RankingScores(len(ranked_N), n_wrong, rate_score(ranked_N[:n_wrong]), rate_score(place_E < inspected))
