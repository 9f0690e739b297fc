"""Principal components, templates and line calibration on spectra with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.astro.lines import HALPHA_WAVE, HBETA_WAVE, LIGHT_SPEED_KMS
from mmae.evaluation.hidden.calibration import DrawnLines, drawn_lines, scatter_of
from mmae.evaluation.hidden.pca import chi2_per_sample, choose_components, fit_components
from mmae.evaluation.hidden.spectrum_tables import line_score
from mmae.evaluation.hidden.templates import best_combination, templates_at
from mmae.survey.schema import SurveySpec

WAVELENGTH = SurveySpec().wavelength_L()[:3000]  # to 6000 A
L = 400


def visible(n: int, samples: int, seed: int, share: float = 0.25, patch: int = 20) -> np.ndarray:
    draw = np.random.default_rng(seed).random((n, -(-samples // patch))) < share
    return draw.repeat(patch, 1)[:, :samples]


def low_rank(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of three components and their ivar."""
    shapes = np.stack([np.ones(L), np.linspace(-1, 1, L), np.sin(np.linspace(0, 9, L))])
    clean = np.random.default_rng(seed).normal([5, 1, 1], 1, (n, 3)) @ shapes
    ivar = np.random.default_rng(seed + 1).uniform(1, 100, (n, L))
    ivar[:, 50:60] = 0
    noisy = clean + np.random.default_rng(seed + 2).standard_normal((n, L)) / np.sqrt(np.maximum(ivar, 1))
    noisy[:, 50:60] = 1e4  # bad samples
    return noisy, ivar


def test_components_fill_in_low_rank_spectra_to_the_noise():
    flux, ivar = low_rank(300, 0)
    found = fit_components(flux[:250], ivar[:250], 3, seed=0)
    shown = visible(50, L, 1, share=0.5)
    made = found.inpaint(flux[250:], ivar[250:], shown)
    # 1 from the noise of the hidden samples, and a little from that of the coefficients and components.
    assert 0.95 < np.nanmean(chi2_per_sample(made, flux[250:], ivar[250:], ~shown)) < 1.15
    chosen = choose_components(flux, ivar, visible(300, L, 2, share=0.5), seed=0)
    assert len(chosen.component_KL) > 2  # three are needed


def test_hidden_samples_do_not_enter_the_components():
    flux, ivar = low_rank(60, 3)
    found = fit_components(flux, ivar, 3, seed=0)
    shown = visible(60, L, 4)
    changed = np.where(shown, flux, 77.0)
    np.testing.assert_allclose(found.inpaint(changed, ivar, shown), found.inpaint(flux, ivar, shown))


@pytest.mark.parametrize("quasar", [False, True])
def test_a_combination_of_continua_is_recovered(quasar):
    redshift, point = np.array([0.3, 1.9]), np.full(2, quasar)
    continua = [templates_at(z, WAVELENGTH, quasar=quasar)[: 28 if quasar else 20] for z in redshift]
    clean = np.stack([np.random.default_rng(k).uniform(0, 1, len(t)) @ t for k, t in enumerate(continua)])
    ivar = np.full(clean.shape, 100.0)
    noisy = clean + 0.1 * np.random.default_rng(5).standard_normal(clean.shape)
    shown = visible(2, WAVELENGTH.size, 6)
    made = best_combination(WAVELENGTH, noisy, ivar, shown, redshift, point)
    assert (chi2_per_sample(made, noisy, ivar, ~shown) < 1.15).all()
    changed = np.where(shown, noisy, 77.0)
    np.testing.assert_allclose(best_combination(WAVELENGTH, changed, ivar, shown, redshift, point), made)
    assert np.isnan(best_combination(WAVELENGTH, noisy, ivar, shown, np.full(2, np.nan), point)).all()


def test_hidden_lines_follow_from_visible_ones():
    wavelength, z = SurveySpec().wavelength_L(), np.array([0.2])
    clean = 2 + 3 * templates_at(0.2, wavelength, quasar=False)[-1:]
    hbeta = np.abs(wavelength / (HBETA_WAVE * 1.2) - 1) < 0.002
    shown, ivar = ~hbeta[None], np.full(clean.shape, 1e4)
    made = best_combination(wavelength, clean, ivar, shown, z, np.array([False]))
    line, drawn = ((spectrum[0, hbeta] - spectrum[0, hbeta].min()).sum() for spectrum in (clean, made))
    assert line > 5 and drawn == pytest.approx(line, rel=0.2)


def line_spectrum(z: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """H-alpha of 80 km/s on a sloped continuum."""
    wavelength = SurveySpec().wavelength_L()
    centre = HALPHA_WAVE * (1 + z)[:, None]
    sigma = 80 / LIGHT_SPEED_KMS * centre
    profile = np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return 3 + wavelength / 5000 + flux[:, None] * profile


def measured(flux_NL, drawn_NL, z, ivar=4.0, predicted=None) -> DrawnLines:
    wavelength = SurveySpec().wavelength_L()
    hidden = np.zeros(flux_NL.shape, bool)
    ivar_NL = np.full(flux_NL.shape, ivar)
    return drawn_lines(wavelength, flux_NL, ivar_NL, z, drawn_NL, hidden, z if predicted is None else predicted)[
        "halpha"
    ]


def test_line_fluxes_are_sums_above_the_continuum():
    z, flux = np.array([0.05, 0.2, 0.6, np.nan]), np.array([50.0, 20.0, 10.0, 10.0])
    found = measured(line_spectrum(z, flux), line_spectrum(z, 2 * flux), z)
    np.testing.assert_allclose(found.observed_N[:2], flux[:2], rtol=1e-3)
    np.testing.assert_allclose(found.drawn_N[:2], 2 * flux[:2], rtol=1e-3)
    assert np.isnan(found.observed_N[2:]).all()  # not in the spectrum, no redshift


def test_error_of_a_line_flux_is_the_scatter_of_noise():
    z = np.full(300, 0.1)
    noise = np.random.default_rng(0).standard_normal((300, 7781)) / 2
    found = measured(line_spectrum(z, np.zeros(300)) + noise, line_spectrum(z, np.zeros(300)), z)
    assert found.observed_N.std() == pytest.approx(found.error_N[0], rel=0.1)
    np.testing.assert_allclose(found.drawn_N, 0, atol=1e-6)


def test_calibrated_lines_have_a_ratio_of_one_whatever_their_noise():
    rng = np.random.default_rng(1)
    drawn = rng.uniform(3, 30, 2000)
    observed = drawn * rng.lognormal(-0.125, 0.5, 2000) + 5 * rng.standard_normal(2000)
    lines = DrawnLines(drawn, observed, np.ones(2000), np.ones(2000, bool))
    assert line_score(lines, 3, np.inf, 0, 50).value == pytest.approx(1, abs=0.05)
    half = DrawnLines(2 * drawn, observed, np.ones(2000), np.ones(2000, bool))
    assert line_score(half, 3, np.inf, 0, 50).value == pytest.approx(0.5, abs=0.03)


def test_wrong_redshifts_are_left_out():
    z, flux = np.array([0.05, 0.2]), np.array([50.0, 20.0])
    found = measured(line_spectrum(z, flux), line_spectrum(z, flux), z, predicted=z + [0.0, 0.05])
    assert found.right_N.tolist() == [True, False]
    assert line_score(found, 1, np.inf, 0, 10).n == 1


def test_scatter_about_the_drawn_flux_and_about_similar_galaxies():
    rng = np.random.default_rng(2)
    known, secret = rng.standard_normal((2000, 2)), rng.standard_normal(2000)
    true = 100 + 10 * known.sum(1) + 20 * secret
    lines = DrawnLines(true, true + rng.standard_normal(2000), np.ones(2000), np.ones(2000, bool))
    found = scatter_of(lines, np.ones(2000, bool), known)
    assert found.drawn < 0.01 and found.noise == pytest.approx(0.01, rel=0.1)
    assert found.neighbours == pytest.approx(0.2 * np.sqrt(1.1), rel=0.1)
