"""Continuum errors in blocks, and the 4000 A break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.astro.dn4000 import dn4000
from mmae.core.errors import InputError
from mmae.evaluation.lines.continuum import join_continuum_measures, measure_continuum, near_lines
from mmae.evaluation.lines.continuum_tables import redshift_table, wavelength_table
from mmae.evaluation.lines.measure import Reconstruction
from tests.evaluation.lines.spectra import IVAR, WAVELENGTH, continuum, noisy, smooth_galaxy

HIDDEN = np.zeros((1, WAVELENGTH.size), bool)
ONE = np.ones((1, WAVELENGTH.size))


def measure(flux, made, visible=HIDDEN, redshift=0.2, ivar=IVAR):
    return measure_continuum(
        WAVELENGTH,
        np.atleast_2d(flux),
        np.atleast_2d(ivar),
        np.atleast_1d(redshift),
        {"it": Reconstruction(np.atleast_2d(made), visible)},
    )


def test_scaled_continuum_has_a_constant_fractional_error():
    found = measure(continuum(), 1.1 * continuum())
    # Except in the far blue, where the S/N is below the cut.
    fraction = found.fraction["it"][0]
    assert np.isfinite(fraction).mean() > 0.8
    np.testing.assert_allclose(fraction[np.isfinite(fraction)], 0.1, atol=1e-6)
    assert found.wavelength_K[0] == pytest.approx(3650.0) and found.wavelength_K.size == 62
    np.testing.assert_allclose(np.diff(found.wavelength_K)[:-1], 100.0)


def test_block_error_is_that_of_the_weighted_means_over_hidden_samples():
    rng = np.random.default_rng(0)
    flux, made = noisy(continuum(), IVAR, rng), continuum(2.2)
    visible = (rng.random(WAVELENGTH.size) < 0.3)[None]
    ivar = np.where(rng.random(WAVELENGTH.size) < 0.1, 0.0, IVAR)
    flux = np.where(ivar > 0, flux, np.nan)
    found = measure(flux, np.where(visible[0], np.nan, made), visible, np.nan, ivar)
    inside = [i for i in range(40 * 125, 41 * 125) if ivar[i] > 0 and not visible[0, i]]
    weight = sum(ivar[i] for i in inside)
    difference = sum(ivar[i] * (made[i] - flux[i]) for i in inside) / weight
    mean = sum(ivar[i] * flux[i] for i in inside) / weight
    assert found.pull["it"][0, 40] == pytest.approx(difference * weight**0.5, rel=1e-5)
    assert found.fraction["it"][0, 40] == pytest.approx(difference / mean, rel=1e-5)


def test_perfect_continuum_has_pulls_of_unit_width():
    rng = np.random.default_rng(1)
    n = 40
    flux = np.stack([noisy(continuum(), IVAR, rng) for _ in range(n)])
    found = measure_continuum(
        WAVELENGTH,
        flux,
        np.broadcast_to(IVAR, flux.shape),
        np.full(n, 0.2),
        {"it": Reconstruction(np.tile(continuum(), (n, 1)), np.zeros(flux.shape, bool))},
    )
    pull = found.pull["it"]
    assert np.isfinite(pull).all()
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size) and abs(pull.std() - 1) < 4 / np.sqrt(2 * pull.size)


def test_narrow_lines_are_excluded_from_the_continuum():
    with_lines, without = smooth_galaxy(0.2, 100.0), continuum()
    known = measure(with_lines, without)
    assert np.nanmax(np.abs(known.pull["it"])) < 1e-3
    unknown = measure(with_lines, without, redshift=np.nan)
    assert np.nanmax(np.abs(unknown.pull["it"])) > 10


def test_samples_within_1000_km_per_s_of_a_line_are_excluded():
    near = near_lines(WAVELENGTH, np.array([0.2, np.nan]))
    speed = (WAVELENGTH / (6564.61 * 1.2) - 1) * 299792.458
    alone = (speed > -1600) & (speed < 0)  # blueward of [N II] 6549 there is nothing
    assert near[0][alone & (speed > -950)].all() and not near[0][(speed > -3000) & (speed < -1800)].any()
    assert not near[1].any()


def test_blocks_with_few_samples_or_low_signal_are_nan():
    visible = HIDDEN.copy()
    visible[0, 5000:5100] = True  # 100 of the 125 samples of block 40
    visible[0, 6250:6330] = True  # 80 of block 50
    found = measure(continuum(), 1.1 * continuum(), visible, np.nan)
    assert np.isnan(found.pull["it"][0, 40]) and np.isfinite(found.pull["it"][0, 50])
    faint = measure(1e-3 * continuum(), continuum(), redshift=np.nan)
    assert np.isnan(faint.fraction["it"]).all() and np.isfinite(faint.pull["it"]).all()


def test_tables_of_bias_and_error_over_noise():
    rng = np.random.default_rng(5)
    n = 30
    clean = np.stack([continuum(level) for level in rng.uniform(2, 6, n)])
    flux = np.stack([noisy(row, IVAR, rng) for row in clean])
    hidden = np.zeros(flux.shape, bool)
    found = measure_continuum(
        WAVELENGTH,
        flux,
        np.broadcast_to(IVAR, flux.shape),
        np.linspace(0.05, 0.35, n),
        {"good": Reconstruction(clean, hidden), "high": Reconstruction(1.2 * clean, hidden)},
    )
    rows = {row[:2]: row[2:] for row in wavelength_table(found, 0).rows}
    n_good, bias, _, noise = rows["good", "5760 to 7560"]
    assert n_good == n and abs(bias.value) < 4 * bias.error and noise.value == pytest.approx(1, abs=0.2)
    _, bias, size, noise = rows["high", "5760 to 7560"]
    assert bias.value == pytest.approx(20, abs=0.5) and size.value == pytest.approx(20, abs=0.5) and noise.value > 10
    by_redshift = [row[:2] for row in redshift_table(found, 0).rows]
    assert by_redshift == [(s, z) for s in ("good", "high") for z in ("0 to 0.2", "0.2 to 0.4")]


def test_join_refuses_different_situations():
    found = measure(continuum(), continuum())
    both = join_continuum_measures([found, found])
    assert both.pull["it"].shape == (2, 62) and both.redshift_N.shape == (2,)
    with pytest.raises(InputError):
        join_continuum_measures([])
    other = measure_continuum(WAVELENGTH, continuum()[None], IVAR[None], np.zeros(1), {})
    with pytest.raises(InputError):
        join_continuum_measures([found, other])


# --- the 4000 A break


@settings(max_examples=30, deadline=None)
@given(z=st.floats(0.0, 1.35), step=st.floats(0.7, 2.5), scale=st.floats(0.1, 100.0))
def test_dn4000_of_a_step_in_f_nu(z, step, scale):
    """f_nu = 1 below 3975 A at rest, `step` above; f_lambda is proportional to f_nu / lambda^2."""
    f_nu = np.where(WAVELENGTH < 3975.0 * (1 + z), 1.0, step)
    value, error = dn4000(WAVELENGTH, (scale * 1e7 * f_nu / WAVELENGTH**2)[None], ONE, np.array([z]))
    assert value[0] == pytest.approx(step, rel=1e-6) and error[0] > 0


def test_dn4000_is_the_ratio_of_the_two_band_means():
    rng = np.random.default_rng(2)
    flux, z = 5 + np.cumsum(rng.normal(0, 0.01, WAVELENGTH.size)), 0.4
    rest = WAVELENGTH / (1 + z)
    f_nu = flux * WAVELENGTH**2
    red, blue = f_nu[(rest >= 4000) & (rest < 4100)], f_nu[(rest >= 3850) & (rest < 3950)]
    value, _ = dn4000(WAVELENGTH, flux[None], ONE, np.array([z]))
    assert value[0] == pytest.approx(red.mean() / blue.mean(), rel=1e-9)


def test_error_of_dn4000_is_its_scatter():
    rng, z = np.random.default_rng(6), 0.4
    clean = continuum()
    flux = np.stack([noisy(clean, IVAR, rng) for _ in range(200)])
    value, error = dn4000(WAVELENGTH, flux, np.broadcast_to(IVAR, flux.shape), np.full(200, z))
    assert value.std() == pytest.approx(np.median(error), rel=4 / np.sqrt(400))


def test_dn4000_is_nan_without_enough_samples_or_flux():
    flux = np.tile(continuum(), (7, 1))
    ivar = np.ones_like(flux)
    z = np.array([0.3, -0.08, 1.45, np.nan, 0.3, 0.3, 0.3])
    rest = WAVELENGTH / 1.3
    blue = np.flatnonzero((rest >= 3850) & (rest < 3950))
    ivar[4, blue[: int(0.25 * blue.size)]] = 0  # 75% remain
    ivar[5, blue[: int(0.15 * blue.size)]] = 0  # 85% remain
    flux[5, blue[0]] = np.nan
    flux[6, blue] = -1.0
    value, error = dn4000(WAVELENGTH, flux, ivar, z)
    np.testing.assert_array_equal(np.isfinite(value), [True, False, False, False, False, True, False])
    np.testing.assert_array_equal(np.isfinite(error), np.isfinite(value))
