"""Emission lines: distribution of widths, line fluxes and ratios."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp, spearmanr

from mmae.astro.lines import HALPHA, HBETA, LINE_NAMES, LINE_WAVELENGTH_J, NII, OIII, SII
from mmae.simulation import lines
from tests.ingest.files import SHARED_GALAXIES, needs_shared


def draw_many(n: int = 4000, **options) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([lines.draw_widths(rng, 0.2, **options) for _ in range(n)])


def test_mixture_weights_and_covariances_are_valid():
    mixture = lines.width_mixture()
    assert mixture.weight_G.sum() == pytest.approx(1)
    assert mixture.mean_GE.shape == (len(mixture.weight_G), len(LINE_NAMES))
    covariance_GEE = mixture.cholesky_GEE @ mixture.cholesky_GEE.transpose(0, 2, 1)
    assert (np.linalg.eigvalsh(covariance_GEE) > 0).all()


@needs_shared
def test_widths_and_ratios_follow_the_desi_bright_galaxy_survey():
    table = pq.read_table(SHARED_GALAXIES / "desi_bgs_line_ews.parquet")
    real_NE = np.log10(np.stack([table[f"ew_{n}"].to_numpy() for n in LINE_NAMES], axis=1))
    simulated_NE = np.log10(draw_many())
    # Only strong lines: measurement errors broaden the weak lines of the real table.
    for e in (HALPHA, NII, HBETA, SII):
        assert ks_2samp(real_NE[:, e], simulated_NE[:, e]).statistic < 0.08
    for a, b in ((NII, HALPHA), (SII, HALPHA)):
        ratio = [x[:, a] - x[:, b] for x in (real_NE, simulated_NE)]
        assert ks_2samp(*ratio).statistic < 0.13
    assert np.median(simulated_NE, axis=0) == pytest.approx(np.median(real_NE, axis=0), abs=0.08)


def test_width_correlations_and_the_bpt_sequence():
    log_NE = np.log10(draw_many())
    assert spearmanr(log_NE[:, HALPHA], log_NE[:, HBETA]).statistic > 0.8
    # Metal-poor galaxies: strong [O III], weak [N II] (the star-forming branch of the BPT diagram).
    n2 = log_NE[:, NII] - log_NE[:, HALPHA]
    o3 = log_NE[:, OIII] - log_NE[:, HBETA]
    branch = n2 < -0.3
    assert spearmanr(n2[branch], o3[branch]).statistic < -0.3


def test_widths_increase_with_redshift():
    one, two = np.random.default_rng(3), np.random.default_rng(3)
    near = np.median([lines.draw_widths(one, 0.2) for _ in range(500)], axis=0)
    far = np.median([lines.draw_widths(two, 1.0) for _ in range(500)], axis=0)
    assert far / near == pytest.approx(np.full(6, (2.0 / 1.2) ** 1.8), rel=0.02)


def test_halpha_width_of_passive_star_forming_and_starburst_galaxies():
    rng = np.random.default_rng(0)
    passive = np.median([lines.draw_passive_widths(rng)[HALPHA] for _ in range(500)])
    ordinary, burst = (np.median(draw_many(500, starburst=b)[:, HALPHA]) for b in (False, True))
    assert passive < 1.5 < ordinary < burst


def test_fluxes_are_width_times_continuum_with_fixed_doublet_ratios():
    widths_E = np.array([20.0, 8.0, 10.0, 40.0, 12.0, 7.0])
    continuum_E = np.array([3.0, 2.5, 2.5, 2.0, 2.0, 1.9])
    flux_E, flux_J = lines.line_fluxes(widths_E, continuum_E)
    assert flux_E == pytest.approx(widths_E * continuum_E)
    at = dict(zip(LINE_WAVELENGTH_J.round().astype(int), flux_J, strict=True))
    assert at[3727] + at[3730] == pytest.approx(60.0) and at[3730] / at[3727] == pytest.approx(1.35)
    assert at[5008] / at[4960] == pytest.approx(2.98)
    assert at[6585] / at[6550] == pytest.approx(3.05)
    assert at[6718] / at[6733] == pytest.approx(1.4)


def test_balmer_lines_are_case_b_with_reddening():
    continuum_E = np.ones(6)
    without = np.array([1.0, 10.0, 1.0, 28.6, 1.0, 1.0])
    at = dict(zip(LINE_WAVELENGTH_J.round().astype(int), lines.line_fluxes(without, continuum_E)[1], strict=True))
    assert at[4342] / at[4863] == pytest.approx(0.468) and at[4103] / at[4863] == pytest.approx(0.259)
    dusty = without * [1, 1, 1, 1.5, 1, 1]
    reddened = dict(zip(LINE_WAVELENGTH_J.round().astype(int), lines.line_fluxes(dusty, continuum_E)[1], strict=True))
    assert reddened[4342] / at[4342] == pytest.approx(1.5 ** -((5.125 - 4.598) / (4.598 - 3.326)), rel=0.02)
    assert reddened[4103] < reddened[4342]


def test_attenuation_from_the_balmer_decrement():
    widths_E = np.array([1.0, 10.0, 1.0, 28.6 / 0.8, 1.0, 1.0])
    assert lines.attenuation_from_lines(widths_E) == pytest.approx(0, abs=1e-9)
    # E(B-V) = 1.97 log10(decrement / 2.86): Dominguez+2013, equation 4, for the same law.
    widths_E[HALPHA] *= 1.3
    expected = 0.44 * 4.05 * 1.97 * np.log10(1.3)
    assert lines.attenuation_from_lines(widths_E) == pytest.approx(expected, rel=0.01)
    widths_E[HALPHA] *= 100
    assert lines.attenuation_from_lines(widths_E) == lines.ATTENUATION_MAX
