"""p(z) in 96 bytes."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from mmae.catalogue.pz_code import KNOTS, decode_pz, encode_pz
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.metrics.pz_scores import crps

EDGES = np.linspace(0, np.log(7), 385)


def mixture(*peaks: tuple[float, float, float]) -> np.ndarray:
    """Probabilities of the bins for Gaussian peaks in ln(1+z): weight, mean, sigma."""
    cdf = sum(weight * norm.cdf(EDGES, mean, sigma) for weight, mean, sigma in peaks)
    return np.diff(cdf) / (cdf[-1] - cdf[0])


def random_mixtures(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(n):
        k = rng.integers(1, 4)
        peaks = zip(rng.dirichlet(np.ones(k)), rng.uniform(0, 1.9, k), 10 ** rng.uniform(-3.5, -0.7, k), strict=True)
        rows.append(0.99 * mixture(*peaks) + 0.01 / 384)
    return np.array(rows)


def test_cdf_and_scores_are_kept():
    p_NK = random_mixtures(200)
    full, coded = RedshiftPDF(EDGES, p_NK), decode_pz(*encode_pz(p_NK, EDGES), EDGES)
    assert np.abs(full.cumulative_NK1() - coded.cumulative_NK1()).max() < 0.01
    z_N = full.quantile(np.random.default_rng(1).random(200))
    assert abs(crps(coded, z_N).mean() / crps(full, z_N).mean() - 1) < 0.005


def test_a_code_has_at_most_100_bytes():
    edge_NQ, cdf_NQ = encode_pz(random_mixtures(3), EDGES)
    assert edge_NQ.shape == cdf_NQ.shape == (3, KNOTS)
    assert edge_NQ[0].nbytes + cdf_NQ[0].nbytes <= 100


def test_a_peak_in_one_bin_stays_there_and_a_gap_stays_empty():
    p_K = np.zeros(384)
    p_K[[40, 300]] = 0.3, 0.7
    coded = decode_pz(*encode_pz(p_K[None], EDGES), EDGES)
    np.testing.assert_allclose(coded.probability_NK[0], p_K, atol=2e-5)


def test_the_order_of_the_rows_and_their_number_do_not_matter():
    p_NK = random_mixtures(20)
    together = np.concatenate(encode_pz(p_NK, EDGES), 1)
    alone = np.concatenate([np.concatenate(encode_pz(p_NK[i : i + 1], EDGES), 1) for i in range(20)])
    assert np.array_equal(together, alone)


def test_rows_without_pz_are_zero():
    p_NK = random_mixtures(3)
    p_NK[1] = np.nan
    edge_NQ, cdf_NQ = encode_pz(p_NK, EDGES)
    assert not edge_NQ[1].any() and not cdf_NQ[1].any() and cdf_NQ[[0, 2]].any()


def test_few_bins_are_kept_as_they_are():
    edges = np.linspace(0, 1, 13)
    p_NK = np.random.default_rng(0).dirichlet(np.ones(12), 5)
    np.testing.assert_allclose(decode_pz(*encode_pz(p_NK, edges), edges).probability_NK, p_NK, atol=2e-5)
