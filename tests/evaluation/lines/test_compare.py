"""Ratios, shifts and missing lines for reconstructions with known errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmae.evaluation.lines import catalogue as cat
from mmae.evaluation.lines.compare import (
    Compared,
    compare_line,
    compare_ratio,
    ew_over_truth,
    fraction_score,
    is_bright,
    median_score,
    scatter_score,
    shift_beyond_noise,
)
from mmae.evaluation.lines.measure import Reconstruction, measure_lines
from tests.evaluation.lines.conftest import BLUR, GALAXIES, QUASARS
from tests.evaluation.lines.spectra import IVAR, WAVELENGTH, C, continuum, line, smooth_galaxy


def measure(flux, made, redshift, ivar=IVAR * 1000, near=slice(None), **more):
    """Measure noise-free spectra with large ivar in one situation, everything hidden."""
    flux, made = np.atleast_2d(flux)[:, near], np.atleast_2d(made)[:, near]
    return measure_lines(
        WAVELENGTH[near],
        flux,
        np.broadcast_to(ivar[near], flux.shape),
        np.atleast_1d(redshift),
        {"it": Reconstruction(made, np.zeros(flux.shape, bool))},
        **more,
    )


def test_perfect_reconstruction_has_ratios_of_one(measured):
    for one in (cat.HALPHA, cat.OIII, cat.CIV_LINE, cat.LYA):
        c = compare_line(measured.lines, one, "75% masked", 5.0)
        assert len(c) >= 7 and not c.missing_K.any()
        for values in (c.width_K, c.amplitude_K, c.flux_K):
            assert np.median(values) == pytest.approx(1.0, abs=0.06)
        pull = c.shift_K / c.centre_error_K
        assert abs(pull.mean()) < 4 / np.sqrt(len(c)) and 0.4 < pull.std() < 1.7


def test_identical_hidden_samples_give_ratios_of_exactly_one(sample):
    """Both spectra are fitted in the hidden samples only."""
    visible = np.zeros((3, WAVELENGTH.size), bool)
    visible[:, ::3] = True
    found = measure_lines(
        WAVELENGTH,
        sample.flux[:3],
        sample.ivar[:3],
        sample.redshift[:3],
        {"it": Reconstruction(np.where(visible, 1e4, sample.flux[:3]), visible)},
    )
    c = compare_line(found, cat.HALPHA, "it", 5.0)
    for values in (c.width_K, c.amplitude_K, c.flux_K, c.ew_K):
        np.testing.assert_array_equal(values, np.ones(3))
    np.testing.assert_array_equal(c.shift_K, np.zeros(3))
    ratio = compare_ratio(found, cat.NII, cat.HALPHA, "it")
    np.testing.assert_array_equal(ratio.observed_K, ratio.reconstructed_K)


def test_width_and_amplitude_ratios_of_blurred_lines(measured):
    c = compare_line(measured.lines, cat.HBETA, "blurred", 10.0)
    sigma = 4862.69 * (1 + c.redshift_K) * 130.0 / C
    expected = np.hypot(sigma, BLUR) / sigma
    np.testing.assert_allclose(np.median(c.width_K / expected), 1.0, atol=0.05)
    np.testing.assert_allclose(np.median(c.amplitude_K * expected), 1.0, atol=0.05)
    assert np.median(c.flux_K) == pytest.approx(1.0, abs=0.05)
    assert np.median(np.abs(c.shift_K)) < 0.3


def test_missing_lines_are_counted(measured):
    for one, n in ((cat.HALPHA, GALAXIES), (cat.CIV_LINE, QUASARS)):
        c = compare_line(measured.lines, one, "bare", 5.0)
        assert c.in_range == c.bright == len(c) == n and c.missing_K.all()
        assert np.abs(c.amplitude_K).max() < 0.05 and np.abs(c.flux_K).max() < 0.1
        assert np.isnan(c.width_K).all() and np.isnan(c.shift_K).all()


def test_failed_fit_has_zero_amplitude():
    flux = smooth_galaxy(0.2, 60.0)
    c = compare_line(measure(flux, np.full(flux.shape, np.nan), 0.2), cat.HALPHA, "it", 5.0)
    assert len(c) == 1 and c.missing_K[0] and c.amplitude_K[0] == c.flux_K[0] == c.ew_K[0] == 0.0


@pytest.mark.parametrize(("strength", "missing"), [(0.12, False), (0.08, True), (-0.5, True)])
def test_line_below_a_tenth_of_the_amplitude_is_missing(strength, missing):
    made = continuum() + strength * (smooth_galaxy(0.2, 60.0) - continuum())
    c = compare_line(measure(smooth_galaxy(0.2, 60.0), made, 0.2), cat.HALPHA, "it", 5.0)
    assert c.missing_K[0] == missing and c.amplitude_K[0] == pytest.approx(strength, abs=1e-3)


@pytest.mark.parametrize("samples", [-3, 2])
def test_shift_in_angstrom_and_resolution_elements(samples):
    flux = smooth_galaxy(0.2, 60.0)
    c = compare_line(measure(flux, np.roll(flux, samples), 0.2), cat.HALPHA, "it", 5.0)
    assert c.shift_K[0] == pytest.approx(0.8 * samples, abs=0.01)
    # 7878 A is in the third arm only, with a standard deviation of 0.739 A.
    assert c.element_K[0] == pytest.approx(2.3548 * 0.739, rel=0.005)


def test_scaling_and_continuum_change_flux_and_equivalent_width():
    flux = smooth_galaxy(0.2, 60.0)
    doubled = compare_line(measure(flux, 2 * flux, 0.2), cat.OIII, "it", 5.0)
    assert doubled.flux_K[0] == pytest.approx(2, rel=1e-3) and doubled.ew_K[0] == pytest.approx(1, rel=1e-3)
    raised = compare_line(measure(flux, flux + continuum(), 0.2), cat.OIII, "it", 5.0)
    assert raised.flux_K[0] == pytest.approx(1, rel=1e-3) and raised.ew_K[0] == pytest.approx(0.5, rel=2e-3)


def test_signal_cut_applies_to_the_observed_line():
    strengths = np.geomspace(0.05, 20, 14)
    flux = np.stack([smooth_galaxy(0.2, s) for s in strengths])
    found = measure(flux, flux, np.full(14, 0.2), ivar=IVAR)
    signal = {
        key: (found.observed_M["flux"] / found.observed_M["flux_error"])[found.line_M == cat.KEYS.index(key)]
        for key in ("halpha", "oiii")
    }
    for cut in (5.0, 10.0):
        for one in (cat.HALPHA, cat.OIII):
            assert is_bright(found, one, cut).sum() == (signal[one.key] >= cut).sum()
    assert compare_line(found, cat.HALPHA, "it", 10.0).bright < compare_line(found, cat.HALPHA, "it", 5.0).bright < 14


def test_narrow_line_with_a_broad_fit_is_excluded():
    """The limit of 1200 km/s FWHM is a standard deviation of 510 km/s."""
    for speed, bright in ((450.0, True), (560.0, False)):
        flux = continuum() + line(4862.69, 0.3, speed, 60.0)
        assert is_bright(measure(flux, flux, 0.3), cat.HBETA, 5.0).any() == bright
    quasar = continuum() + line(1549.06, 2.3, 2500.0, 500.0)
    assert is_bright(measure(quasar, quasar, 2.3), cat.CIV_LINE, 5.0).any()


def test_observed_line_at_a_fit_limit_is_excluded():
    flux = continuum() + line(5008.24, 0.3, 150.0, 60.0, 900.0) + line(4960.30, 0.3, 150.0, 20.0, 900.0)
    assert not is_bright(measure(flux, flux, 0.3), cat.OIII, 5.0).any()


def test_line_ratios_of_modified_lines():
    redshift = np.array([0.1, 0.15, 0.2, 0.25])
    flux = np.stack([smooth_galaxy(z, 60.0, nii=0.4) for z in redshift])
    made = np.stack([smooth_galaxy(z, 40.0, nii=0.8) for z in redshift])
    made[3] = continuum()  # no lines
    found = measure(flux, made, redshift)
    r = compare_ratio(found, cat.NII, cat.HALPHA, "it")
    np.testing.assert_array_equal(r.galaxy_K, np.arange(4))
    np.testing.assert_allclose(r.observed_K, np.log10(0.4), atol=2e-3)
    np.testing.assert_allclose(r.reconstructed_K[:3], np.log10(0.8), atol=2e-3)
    assert np.isnan(r.reconstructed_K[3])
    other = compare_ratio(found, cat.OIII, cat.HBETA, "it")
    np.testing.assert_allclose(other.observed_K, np.log10(0.5 / 0.35), atol=3e-3)
    np.testing.assert_allclose(other.reconstructed_K[:3] - other.observed_K[:3], 0, atol=3e-3)


def test_error_of_a_ratio_is_its_scatter():
    rng = np.random.default_rng(12)
    clean = smooth_galaxy(0.2, 15.0, nii=0.5)
    flux = clean + rng.standard_normal((40, clean.size)) / np.sqrt(IVAR)
    near = slice(*np.searchsorted(WAVELENGTH, (7700, 8050)))
    r = compare_ratio(measure(flux, flux, np.full(40, 0.2), ivar=IVAR, near=near), cat.NII, cat.HALPHA, "it")
    assert r.observed_K.size == 40
    assert r.observed_K.std() == pytest.approx(np.median(r.error_K), rel=4 / np.sqrt(80))


def test_only_galaxies_with_both_lines_have_a_ratio():
    redshift = np.array([0.1, 0.55])  # at z = 0.55 H-alpha and [N II] are outside the spectrum
    flux = np.stack([smooth_galaxy(z, 60.0) for z in redshift])
    found = measure(flux, flux, redshift)
    assert list(compare_ratio(found, cat.NII, cat.HALPHA, "it").galaxy_K) == [0]
    assert list(compare_ratio(found, cat.OIII, cat.HBETA, "it").galaxy_K) == [0, 1]


def test_negative_flux_in_the_hidden_samples_has_no_ratio():
    redshift = np.array([0.1, 0.2])
    flux = np.stack([smooth_galaxy(z, 60.0, nii=0.4) for z in redshift])
    found = measure(flux, flux, redshift)
    target = found.target["it"].copy()
    target["flux"][(found.line_M == cat.LINES.index(cat.NII)) & (found.galaxy_M == 0)] *= -1
    ratio = compare_ratio(replace(found, target={"it": target}), cat.NII, cat.HALPHA, "it")
    np.testing.assert_array_equal(ratio.galaxy_K, [1])
    assert np.isfinite(ratio.observed_K).all()


def test_equivalent_width_over_the_truth():
    flux = smooth_galaxy(0.2, 60.0)
    at = np.interp(6564.61 * 1.2, WAVELENGTH, continuum())
    true = 60.0 / at / 1.2
    ew = np.full((1, 6), np.nan)
    ew[0, 3] = true / 2
    found = measure(flux, continuum() + 0.5 * (flux - continuum()), 0.2, true_ew_BE=ew)
    assert ew_over_truth(found, cat.HALPHA, None, 5.0) == pytest.approx([2.0], rel=2e-3)
    assert ew_over_truth(found, cat.HALPHA, "it", 5.0) == pytest.approx([1.0], rel=2e-3)
    assert ew_over_truth(found, cat.NII, None, 5.0).size == 0
    gone = measure(flux, np.full(flux.shape, np.nan), 0.2, true_ew_BE=ew)
    assert ew_over_truth(gone, cat.HALPHA, "it", 5.0) == pytest.approx([0.0])


def test_interval_of_a_median_agrees_with_theory():
    values = np.random.default_rng(0).normal(3.0, 2.0, 900)
    found = median_score(values, 0)
    assert found.value == np.median(values) and found.n == 900
    assert found.error == pytest.approx(1.2533 * 2.0 / np.sqrt(900), rel=0.25)
    assert scatter_score(values, 0).value == pytest.approx(2.0, rel=0.08)
    assert median_score(np.append(values, np.nan), 0) == found  # NaN is ignored


def test_zero_or_one_value_has_no_interval():
    one = median_score(np.array([2.0, np.nan]), 0)
    assert one.value == 2.0 and one.n == 1 and np.isnan(one.low)
    assert median_score(np.empty(0), 0).n == 0 and np.isnan(fraction_score(np.empty(0, bool)).value)


def test_interval_of_a_fraction_is_wilsons():
    found = fraction_score(np.arange(40) < 10)
    # (k + 1/2) / (n + 1) -+ sqrt(p (1 - p) / n + 1 / 4 n^2) / (1 + 1/n), one sigma
    middle, half = 10.5 / 41, np.sqrt(0.25 * 0.75 / 40 + 1 / 6400) / (1 + 1 / 40)
    assert (found.value, found.low, found.high) == pytest.approx((0.25, middle - half, middle + half), abs=1e-4)
    assert fraction_score(np.zeros(5, bool)).low == 0.0 and fraction_score(np.ones(5, bool)).high == 1.0


def compared_with(shift: np.ndarray, error: np.ndarray, element: float = 2.0) -> Compared:
    n, one = shift.size, np.ones(shift.size)
    return Compared(n, n, 1.0, one, np.zeros(n, bool), one, one, one, one, shift, element * one, error)


def test_noise_of_the_observed_centre_is_subtracted_from_the_shift():
    rng = np.random.default_rng(3)
    error, moved = np.full(4000, 3.0), 4.0
    shift = rng.normal(0, 3.0, 4000) + rng.normal(0, moved, 4000)
    found = shift_beyond_noise(compared_with(shift, error), 0)
    assert found.value == pytest.approx(0.6745 * moved / 2.0, rel=0.06)  # elements of 2 A
    assert found.low < found.value < found.high
    assert shift_beyond_noise(compared_with(rng.normal(0, 2.0, 4000), error), 0).value == 0.0  # less than the noise
    none = shift_beyond_noise(compared_with(np.full(3, np.nan), np.ones(3)), 0)
    assert none.n == 0 and np.isnan(none.value)
