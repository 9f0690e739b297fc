"""The two-point spectral index: value, error and probability of being steep."""

import numpy as np
import pytest
from scipy.stats import norm

from mmae.core.errors import InputError
from mmae.steepspec.spectra.two_point import probability_steep, two_point_index


def test_exact_power_law():
    flux1 = np.array([1.0, 5.0, 100.0])
    alpha = np.array([-1.4, 0.0, -3.0])
    got, _ = two_point_index(flux1, flux1 / 10, 1006, flux1 * (1381 / 1006) ** alpha, flux1 / 10, 1381)
    np.testing.assert_allclose(got, alpha, atol=1e-12)


def test_error_at_signal_to_noise_8_is_that_of_the_design():
    _, error = two_point_index(8.0, 1.0, 1006, 8.0, 1.0, 1381)
    assert float(error) == pytest.approx(0.56, abs=0.005)


def test_error_is_the_scatter_of_noisy_fluxes():
    rng = np.random.default_rng(1)
    true1, true2 = 40.0, 40.0 * (1381 / 1006) ** -1.6
    scale = 1 + rng.normal(0, 0.06, (2, 40_000))
    flux1 = true1 * scale[0] + rng.normal(0, 2.0, 40_000)
    flux2 = true2 * scale[1] + rng.normal(0, 1.0, 40_000)
    alpha, _ = two_point_index(flux1, np.full(40_000, 2.0), 1006, flux2, np.full(40_000, 1.0), 1381)
    _, error = two_point_index(true1, 2.0, 1006, true2, 1.0, 1381, scale_error1=0.06, scale_error2=0.06)
    assert np.std(alpha) == pytest.approx(float(error), rel=0.03)
    assert np.mean(alpha) == pytest.approx(-1.6, abs=0.03)


def test_order_of_the_bands_does_not_matter():
    one = two_point_index(3.0, 0.2, 1006, 2.0, 0.1, 1381, 0.05, 0.1)
    other = two_point_index(2.0, 0.1, 1381, 3.0, 0.2, 1006, 0.1, 0.05)
    np.testing.assert_allclose(one, other)


def test_missing_and_invalid_fluxes_give_nan():
    flux = np.ma.array([1.0, -1.0, 0.0, np.nan, 1.0], mask=[False] * 4 + [True])
    alpha, error = two_point_index(flux, np.ones(5), 1006, np.ones(5), np.ones(5), 1381)
    assert np.isnan(alpha[1:]).all() and np.isnan(error[1:]).all() and alpha[0] == 0
    assert np.isnan(two_point_index(1.0, 0.0, 1006, 1.0, 0.1, 1381)[0])


@pytest.mark.parametrize("frequencies", [(1006, 1006), (0, 1381), (1006, -5), (np.nan, 1381)])
def test_invalid_frequencies(frequencies):
    with pytest.raises(InputError):
        two_point_index(1.0, 0.1, frequencies[0], 1.0, 0.1, frequencies[1])


def test_probability_is_the_gaussian_tail():
    assert probability_steep(-1.4, 0.3) == pytest.approx(0.5)
    np.testing.assert_allclose(probability_steep([-2.0, 0.0], [0.5, 0.5]), norm.cdf([1.2, -2.8]))
    assert np.isnan(probability_steep([np.nan, -2.0, -2.0], [0.1, 0.0, np.nan])).all()
