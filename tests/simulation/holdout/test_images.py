"""Profiles, seeing and noise of the hold-out images against GalSim and analytic values."""

import galsim
import numpy as np
import pytest

from mmae.simulation.holdout.images import Light, Placed, add_noise, fibre_fraction, render

SCALE = 0.168
FWHM, BETA = 0.7, 3.0
CLUMPS = ((0.3, -0.2, 0.1, 0.6), (-0.5, 0.4, 0.2, 0.4))


def image(light: Light, size: int = 96, centre: tuple[float, float] | None = None) -> np.ndarray:
    centre = centre or ((size - 1) / 2, (size - 1) / 2)
    return render([Placed(light, np.array([1000.0]), centre)], np.array([FWHM]), BETA, size, SCALE)[0]


@pytest.mark.parametrize(
    "light",
    [
        Light(1.0, 0.8, 0.5, 0.4),
        Light(1.0, 0.0, 1.0, 0.0),
        Light(1.0, 1.0, 0.7, 1.0, arms=(0.4, 0.3)),
        Light(1.0, 1.0, 1.0, 0.0, clumps=CLUMPS),
    ],
)
def test_flux_is_conserved(light):
    assert image(light, 128).sum() == pytest.approx(1000, rel=0.02)


@pytest.mark.parametrize("index", [1.0, 2.5, 4.0])
def test_profiles_agree_with_galsim(index):
    light = Light(index, 0.9, 0.6, 0.7)
    circular = galsim.Sersic(index, half_light_radius=0.9 * np.sqrt(0.6))
    shape = circular.shear(q=0.6, beta=0.7 * galsim.radians).withFlux(1000)
    shape = galsim.Convolve(shape, galsim.Moffat(beta=BETA, fwhm=FWHM))
    expected = shape.drawImage(nx=64, ny=64, scale=SCALE).array
    drawn = image(light, 64)
    # A Sersic profile with n = 4 has a tenth of its light beyond the padding of this grid.
    np.testing.assert_allclose(drawn, expected, atol=0.015 * expected.max())
    assert drawn[20:44, 20:44].sum() == pytest.approx(expected[20:44, 20:44].sum(), rel=0.01)


def test_a_point_is_the_seeing_at_its_position():
    x, y = 30.3, 33.8
    star = galsim.Moffat(beta=BETA, fwhm=FWHM, flux=1000)
    expected = star.drawImage(nx=64, ny=64, scale=SCALE, offset=(x - 31.5, y - 31.5)).array
    np.testing.assert_allclose(image(Light(1.0, 0.0, 1.0, 0.0), 64, (x, y)), expected, atol=0.02 * expected.max())


def test_arms_change_the_image_and_not_the_profile():
    plain, spiral = Light(1.0, 1.5, 1.0, 0.0), Light(1.0, 1.5, 1.0, 0.0, arms=(0.3, 0.0))
    a, b = image(plain), image(spiral)
    assert np.abs(a - b).max() > 0.05 * a.max()
    y, x = np.indices(a.shape) - 47.5
    for low, high in ((4, 8), (8, 12), (12, 20)):
        ring = (np.hypot(x, y) >= low) & (np.hypot(x, y) < high)
        assert b[ring].mean() == pytest.approx(a[ring].mean(), rel=0.1)


def test_noise_has_its_variance_and_correlation():
    rng = np.random.default_rng(0)
    sigma_C = np.array([0.02, 0.1])
    noise = add_noise(rng, np.zeros((2, 256, 256)), sigma_C, np.array([3000.0, 3000.0]))
    np.testing.assert_allclose(noise.std(axis=(1, 2)), sigma_C, rtol=0.03)
    one = noise[0] / noise[0].std()
    assert 0.1 < (one[:, 1:] * one[:, :-1]).mean() < 0.5
    bright = add_noise(rng, np.full((2, 64, 64), 300.0), sigma_C, np.array([3000.0, 3000.0]))
    np.testing.assert_allclose(bright.std(axis=(1, 2)), np.sqrt(sigma_C**2 + 0.1), rtol=0.1)


def test_fibre_fraction_decreases_with_size():
    values = [fibre_fraction(Light(1.0, r, 1.0, 0.0), 1.5, 1.1, 3.0) for r in (0.0, 0.2, 0.8, 2.0)]
    assert values[0] == pytest.approx(1) and values == sorted(values, reverse=True) and 0 < values[-1] < 0.3
