"""Canonical variates of fluxes, match probabilities, and their file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mmae.catalogue.align_fit import Evidence, Pairs, evidence, fit_alignment, fit_views
from mmae.catalogue.alignment import FILE, OTHER, load_alignment, save_alignment
from mmae.core.errors import InputError

F = {"image": 4, "spectrum": 6}
Z = 12  # bins of p(z)


def pairs(n: int, seed: int) -> Pairs:
    """Galaxies of lognormal brightness and colour that both modalities measure with errors, and a blurred redshift."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99)
    latent_N3 = rng.normal(size=(n, 3))
    bin_N = np.clip(np.rint(6 + 2 * latent_N3[:, 2]), 0, Z - 1)
    flux, pz = {}, {}
    for name, width in F.items():
        x_NF = latent_N3 @ mixing.normal(size=(3, width)) + 0.1 * rng.normal(size=(n, width))
        flux[name] = np.exp(3 + x_NF)
        p_NZ = np.exp(-0.5 * (np.arange(Z) - bin_N[:, None]) ** 2)
        pz[name] = p_NZ / p_NZ.sum(1, keepdims=True)
    return Pairs(flux, pz)


@pytest.fixture(scope="module")
def alignment():
    return fit_alignment(pairs(2000, 0), pairs(200, 1), "abc")


def test_distances_are_gaussian_likelihoods(alignment):
    rng = np.random.default_rng(3)
    s_R = alignment.correlation_R
    a_NR, b_NR = rng.normal(size=(2, 5, len(s_R)))
    distance2_N = np.square(alignment.query_vectors(a_NR) - alignment.vectors(b_NR)).sum(1)
    log_p_N = [
        multivariate_normal(s_R * b_R, np.diag(1 - s_R**2)).logpdf(a_R) for a_R, b_R in zip(a_NR, b_NR, strict=True)
    ]
    constant = multivariate_normal(np.zeros(len(s_R)), np.diag(1 - s_R**2)).logpdf(np.zeros(len(s_R)))
    np.testing.assert_allclose(-distance2_N, np.array(log_p_N) - constant, rtol=1e-6, atol=1e-6)


def test_variates_of_the_training_galaxies_have_unit_variance_and_their_correlations():
    flux_NF = pairs(2000, 0).flux_NF
    views, correlation_R = fit_views(flux_NF)
    a_NR, b_NR = (views[name].variates(flux_NF[name]) for name in OTHER)
    both_XX = np.corrcoef(a_NR.T, b_NR.T)
    R = len(correlation_R)
    np.testing.assert_allclose(np.diag(both_XX[:R, R:]), correlation_R, atol=0.01)
    np.testing.assert_allclose(a_NR.var(0), 1, atol=0.02)


def test_missing_fluxes_have_their_expectation_given_the_others(alignment):
    view = alignment.views["spectrum"]
    flux_1F = pairs(1, 5).flux_NF["spectrum"]
    lacking_1F = np.where(np.arange(6) < 2, np.nan, flux_1F)
    x_F = np.arcsinh(flux_1F / view.softening_F)[0] - view.mean_F
    c_FF = view.covariance_FF
    x_F[:2] = c_FF[:2, 2:] @ np.linalg.inv(c_FF[2:, 2:]) @ x_F[2:]
    np.testing.assert_allclose(view.variates(lacking_1F)[0], x_F @ view.weight_FR, rtol=1e-4, atol=1e-5)
    assert np.isnan(view.variates(np.full((1, 6), np.nan))).all()


def shown(found: Evidence, alignment, expected: float, present: bool) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of all pairs, with or without the query's galaxy, and which are true."""
    score_NN = alignment.calibration.score(found.distance2_NM, found.overlap_NM)
    own_NN = np.eye(len(score_NN), dtype=bool)
    if not present:
        score_NN = np.where(own_NN, -np.inf, score_NN)
    return alignment.probabilities(score_NN, found.variate_NR, len(score_NN), expected), own_NN & present


def test_probabilities_are_calibrated_for_other_galaxies_and_another_gallery(alignment):
    test = pairs(400, 2)
    for query in OTHER:
        found = evidence(alignment, test, query)
        p_X, true_X = (
            np.concatenate([x.ravel() for x in parts])
            for parts in zip(*(shown(found, alignment, 0.5, present) for present in (True, False)), strict=True)
        )
        for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 1.0)):
            in_X = (p_X > low) & (p_X <= high)
            error = np.sqrt(p_X[in_X].mean() * (1 - p_X[in_X].mean()) / in_X.sum())
            assert abs(p_X[in_X].mean() - true_X[in_X].mean()) < 4 * error + 0.03


def test_probabilities_sum_to_one_if_the_galaxy_is_in_the_gallery(alignment):
    found = evidence(alignment, pairs(50, 4), "image")
    sure_NN, _ = shown(found, alignment, 1.0, True)
    doubtful_NN, _ = shown(found, alignment, 0.01, True)
    np.testing.assert_allclose(sure_NN.sum(1), 1)
    assert (doubtful_NN < sure_NN).all()


def test_a_model_without_pz_is_matched_by_fluxes():
    without = [Pairs(p.flux_NF, None) for p in (pairs(1000, 0), pairs(150, 1))]
    found = fit_alignment(*without, "abc")
    assert found.calibration.pz == 0
    one = evidence(found, without[1], "image")
    score_NN = found.calibration.score(one.distance2_NM, one.overlap_NM)
    assert np.mean(score_NN.argmax(1) == np.arange(150)) > 0.3


def test_an_alignment_is_read_as_written(alignment, tmp_path):
    save_alignment(alignment, tmp_path)
    found, digest = load_alignment(tmp_path, "abc")
    assert found.calibration == alignment.calibration and len(digest) == 32
    np.testing.assert_array_equal(found.prior_Z, alignment.prior_Z)
    flux_NF = pairs(3, 6).flux_NF["image"]
    np.testing.assert_array_equal(found.views["image"].variates(flux_NF), alignment.views["image"].variates(flux_NF))
    save_alignment(replace(alignment, correlation_R=alignment.correlation_R * 0.9), tmp_path)
    assert load_alignment(tmp_path, "abc")[1] != digest


def test_an_alignment_that_does_not_fit_is_refused(alignment, tmp_path):
    with pytest.raises(InputError, match="is missing. Fit it with"):
        load_alignment(tmp_path, "abc")
    save_alignment(alignment, tmp_path)
    with pytest.raises(InputError, match="of another model than the catalogue"):
        load_alignment(tmp_path, "abd")
    (tmp_path / FILE).write_bytes(b"half")
    with pytest.raises(InputError, match="cannot be read"):
        load_alignment(tmp_path, "abc")


def test_few_galaxies_with_all_fluxes_are_refused():
    flux_NF = pairs(30, 0).flux_NF
    flux_NF["image"][11:, 1] = np.nan
    with pytest.raises(InputError, match="only 11 training galaxies have all fluxes .* needs 12"):
        fit_views(flux_NF)
