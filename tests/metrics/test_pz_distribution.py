"""p(z) against numerical integrals and the quantiles of the model, and its behaviour at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from mmae.core.errors import InputError
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.model.part_configs import RedshiftConfig
from mmae.model.redshift import bin_edges, redshift_quantile
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


def test_density_is_density_in_ln_1_plus_z_divided_by_1_plus_z():
    # z = 0.25 is in the second bin: 0.5 / ln(1.4 / 1.1) / 1.25
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
def test_quantile_is_the_inverse_of_the_cdf(pdf, q):
    z_N = pdf.quantile(q)
    np.testing.assert_allclose(pdf.cdf(z_N), q, atol=1e-9)
    assert (z_N >= -1e-12).all() and (z_N <= pdf.z_edges_K1[-1] + 1e-12).all()


def test_quantile_accepts_one_probability_per_galaxy():
    pdf, _ = drawn(5, 1)
    q_N = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_array_equal(pdf.quantile(q_N), [pdf.quantile(q)[row] for row, q in enumerate(q_N)])


def test_quantiles_equal_those_of_the_model():
    config = RedshiftConfig(z_max=4.0, bins=50, refinement=1)
    logits_BK = 3 * torch.randn(40, 50, generator=torch.Generator().manual_seed(3))
    pdf = RedshiftPDF(bin_edges(config).numpy(), logits_BK.softmax(-1).numpy())
    for q in (0.16, 0.5, 0.84):
        np.testing.assert_allclose(pdf.quantile(q), redshift_quantile(logits_BK, q, config).numpy(), rtol=2e-4)


def test_quantile_at_an_empty_bin():
    assert ONE.quantile(0.6)[0] == pytest.approx(0.4)  # upper edge of the bin before the empty one
    assert ONE.quantile(0.0)[0] == 0 and ONE.quantile(1.0)[0] == pytest.approx(3.0)


def test_cdf_is_0_or_1_and_density_0_outside_the_bins():
    shifted = RedshiftPDF(np.array([0.5, 0.7, 0.9]), np.array([[0.3, 0.7]]))
    for z, cdf in ((0.1, 0.0), (np.expm1(0.5), 0.0), (np.expm1(0.9), 1.0), (5.0, 1.0), (-0.5, 0.0)):
        assert shifted.cdf([z])[0] == cdf
    assert shifted.density([0.1])[0] == shifted.density([5.0])[0] == 0
    assert shifted.cdf_of_bin([0.1]) == (0, 0) and shifted.cdf_of_bin([5.0]) == (1, 1)


def test_first_and_last_edge_belong_to_the_adjacent_bin():
    assert ONE.density([0.0])[0] == pytest.approx(0.1 / np.log(1.1))
    assert ONE.density([3.0])[0] == pytest.approx(0.4 / np.log(2.0) / 4)
    assert [float(v[0]) for v in ONE.cdf_of_bin([3.0])] == pytest.approx([0.6, 1.0])


def test_mean_is_the_integral_of_z_times_the_density():
    mean = quad(lambda z: z * ONE.density([z])[0], 0, 3, points=list(ONE.z_edges_K1[1:-1]))[0]
    assert ONE.mean()[0] == pytest.approx(mean, rel=1e-7)


def test_mode_is_the_bin_of_highest_density_in_z():
    # The second bin is twice as wide in z.
    pdf = RedshiftPDF(np.log1p([0.0, 1.0, 3.0]), np.array([[0.45, 0.55], [0.2, 0.8]]))
    np.testing.assert_allclose(pdf.mode(), [np.sqrt(2) - 1, np.sqrt(8) - 1])


def test_float32_probabilities_are_normalised():
    p = np.random.default_rng(0).dirichlet(np.ones(192), 10).astype(np.float32) * np.float32(1.0002)
    pdf = RedshiftPDF(EDGES_K1.astype(np.float32), p)
    np.testing.assert_allclose(pdf.probability_NK.sum(axis=1), 1, atol=1e-14)
    assert pdf.probability_NK.dtype == np.float64 and (pdf.cumulative_NK1()[:, -1] == 1).all()


def test_subset_of_galaxies():
    pdf, truth_N = drawn(6, 2)
    keep_N = truth_N > np.median(truth_N)
    np.testing.assert_array_equal(pdf.chosen(keep_N).quantile(0.5), pdf.quantile(0.5)[keep_N])


@pytest.mark.parametrize(
    ("edges", "probability", "named"),
    [
        ([0, 1, 2], [[0.5, 0.5, 0.0]], r"\(3,\).*\(1, 3\)"),
        ([0, 1, 2], [0.5, 0.5], r"\(3,\).*\(2,\)"),
        ([0, 2, 1], [[0.5, 0.5]], "edges"),
        ([0, 1, np.inf], [[0.5, 0.5]], "edges"),
        ([0, 1, 2], [[0.5, 0.5], [0.9, 0.2]], "row 1"),
        ([0, 1, 2], [[1.5, -0.5]], "row 0"),
        ([0, 1, 2], [[0.5, 0.5], [0.1, 0.9], [np.nan, 1.0]], "row 2"),
    ],
)
def test_invalid_distributions_are_refused(edges, probability, named):
    with pytest.raises(InputError, match=named):
        RedshiftPDF(np.array(edges, float), np.array(probability, float))


@pytest.mark.parametrize("z", [[np.nan], [-1.0], [0.1, 0.2]])
def test_missing_redshifts_or_wrong_shapes_are_refused(z):
    with pytest.raises(InputError):
        ONE.cdf(z)


@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan])
def test_quantile_probabilities_outside_0_to_1_are_refused(q):
    with pytest.raises(InputError, match="quantile"):
        ONE.quantile(q)
