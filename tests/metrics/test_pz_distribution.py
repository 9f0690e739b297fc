"""p(z) against independent integrals, the model's own quantiles, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from mmae.core.errors import InputError
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.model.redshift import RedshiftConfig, bin_edges, redshift_quantile
from tests.metrics.samples import EDGES_K1, drawn

UNEVEN = np.log1p(np.array([0.0, 0.1, 0.4, 1.0, 3.0]))
ONE = RedshiftPDF(UNEVEN, np.array([[0.1, 0.5, 0.0, 0.4]]))


@st.composite
def pdfs(draw, rows: int = 3):
    bins = draw(st.integers(2, 6))
    weight = draw(st.lists(st.floats(0.01, 1), min_size=rows * bins, max_size=rows * bins))
    probability_NK = np.array(weight).reshape(rows, bins)
    probability_NK *= (
        np.array(draw(st.lists(st.booleans(), min_size=rows * bins, max_size=rows * bins))).reshape(rows, bins) + 1e-6
    )
    width = draw(st.floats(0.01, 0.5))
    return RedshiftPDF(width * np.arange(bins + 1), probability_NK / probability_NK.sum(axis=1, keepdims=True))


def each(pdf: RedshiftPDF, z: float) -> np.ndarray:
    return np.full(len(pdf), z)


def test_density_is_that_of_ln_1_plus_z_over_1_plus_z():
    # z = 0.25 lies in the second bin: 0.5 / ln(1.4 / 1.1) / 1.25
    assert ONE.density([0.25])[0] == pytest.approx(0.5 / np.log(1.4 / 1.1) / 1.25)
    assert ONE.density([0.7])[0] == 0


@given(pdfs())
@settings(max_examples=25, deadline=None)
def test_cdf_is_the_integral_of_the_density(pdf):
    z_max = pdf.z_edges_K1[-1]
    for z in (0.3 * z_max, 0.77 * z_max, z_max):
        breaks = [e for e in pdf.z_edges_K1[1:-1] if e < z]
        area = quad(lambda t: pdf.density(each(pdf, t))[1], 0, z, points=breaks or None, limit=200)[0]
        assert pdf.cdf(each(pdf, z))[1] == pytest.approx(area, abs=1e-6)


@given(pdfs(), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_quantile_inverts_the_cdf(pdf, q):
    z_N = pdf.quantile(q)
    np.testing.assert_allclose(pdf.cdf(z_N), q, atol=1e-9)
    assert (z_N >= -1e-12).all() and (z_N <= pdf.z_edges_K1[-1] + 1e-12).all()


def test_quantiles_take_one_number_for_each_galaxy():
    pdf, _ = drawn(5, 1)
    q_N = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_array_equal(pdf.quantile(q_N), [pdf.quantile(q)[row] for row, q in enumerate(q_N)])


def test_quantiles_are_those_of_the_model():
    config = RedshiftConfig(z_max=4.0, bins=50, refinement=1)
    logits_BK = 3 * torch.randn(40, 50, generator=torch.Generator().manual_seed(3))
    pdf = RedshiftPDF(bin_edges(config).numpy(), logits_BK.softmax(-1).numpy())
    for q in (0.16, 0.5, 0.84):
        np.testing.assert_allclose(pdf.quantile(q), redshift_quantile(logits_BK, q, config).numpy(), rtol=2e-4)


def test_a_quantile_passes_over_empty_bins():
    assert ONE.quantile(0.6)[0] == pytest.approx(0.4)  # the upper end of the bin that reaches it
    assert ONE.quantile(0.0)[0] == 0 and ONE.quantile(1.0)[0] == pytest.approx(3.0)


def test_outside_the_bins_the_cdf_is_0_or_1_and_the_density_0():
    shifted = RedshiftPDF(np.array([0.5, 0.7, 0.9]), np.array([[0.3, 0.7]]))
    for z, cdf in ((0.1, 0.0), (np.expm1(0.5), 0.0), (np.expm1(0.9), 1.0), (5.0, 1.0), (-0.5, 0.0)):
        assert shifted.cdf([z])[0] == cdf
    assert shifted.density([0.1])[0] == shifted.density([5.0])[0] == 0
    assert shifted.cdf_of_bin([0.1]) == (0, 0) and shifted.cdf_of_bin([5.0]) == (1, 1)


def test_the_first_and_the_last_edge_belong_to_their_bins():
    assert ONE.density([0.0])[0] == pytest.approx(0.1 / np.log(1.1))
    assert ONE.density([3.0])[0] == pytest.approx(0.4 / np.log(2.0) / 4)
    assert [float(v[0]) for v in ONE.cdf_of_bin([3.0])] == pytest.approx([0.6, 1.0])


def test_mean_is_the_integral_of_z_and_above_the_bins_centres():
    mean = quad(lambda z: z * ONE.density([z])[0], 0, 3, points=list(ONE.z_edges_K1[1:-1]))[0]
    assert ONE.mean()[0] == pytest.approx(mean, rel=1e-7)


def test_mode_is_the_densest_bin_in_z():
    # As much in a bin of twice the width in z is half as dense.
    pdf = RedshiftPDF(np.log1p([0.0, 1.0, 3.0]), np.array([[0.45, 0.55], [0.2, 0.8]]))
    np.testing.assert_allclose(pdf.mode(), [np.sqrt(2) - 1, np.sqrt(8) - 1])


def test_float32_probabilities_are_made_to_sum_to_one():
    p = np.random.default_rng(0).dirichlet(np.ones(192), 10).astype(np.float32) * np.float32(1.0002)
    pdf = RedshiftPDF(EDGES_K1.astype(np.float32), p)
    np.testing.assert_allclose(pdf.probability_NK.sum(axis=1), 1, atol=1e-14)
    assert pdf.probability_NK.dtype == np.float64 and (pdf.cumulative_NK1()[:, -1] == 1).all()


def test_some_of_the_galaxies_can_be_chosen():
    pdf, truth_N = drawn(6, 2)
    keep_N = truth_N > np.median(truth_N)
    np.testing.assert_array_equal(pdf.chosen(keep_N).quantile(0.5), pdf.quantile(0.5)[keep_N])


@pytest.mark.parametrize(
    ("edges", "probability", "words"),
    [
        ([0, 1, 2], [[0.5, 0.5, 0.0]], "bins \\+ 1"),
        ([0, 1, 2], [0.5, 0.5], "galaxies, bins"),
        ([0, 2, 1], [[0.5, 0.5]], "rise"),
        ([0, 1, np.inf], [[0.5, 0.5]], "rise"),
        ([0, 1, 2], [[0.5, 0.5], [0.9, 0.2]], "row 1"),
        ([0, 1, 2], [[1.5, -0.5]], "row 0"),
        ([0, 1, 2], [[0.5, 0.5], [0.1, 0.9], [np.nan, 1.0]], "row 2"),
    ],
)
def test_what_is_no_distribution_is_refused(edges, probability, words):
    with pytest.raises(InputError, match=words):
        RedshiftPDF(np.array(edges, float), np.array(probability, float))


@pytest.mark.parametrize("z", [[np.nan], [-1.0], [0.1, 0.2]])
def test_a_truth_that_is_missing_or_does_not_fit_is_refused(z):
    with pytest.raises(InputError):
        ONE.cdf(z)


@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan])
def test_a_quantile_is_from_0_to_1(q):
    with pytest.raises(InputError, match="from 0 to 1"):
        ONE.quantile(q)
